"""What the toolkit needs of the operating system."""
