"""`toolkit demo`: one run of the whole chain on the toolkit's own weights and picture, and a page that shows it."""
