"""What HTML pages and charts share."""
