"""Profile reports: the document, and its pages, charts and tables."""
