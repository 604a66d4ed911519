"""HTML pages, Markdown tables, SVG charts and plots."""
