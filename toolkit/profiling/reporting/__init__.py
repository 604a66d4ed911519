"""Profile reports: data, warnings, and their HTML, Markdown and CSV forms."""
