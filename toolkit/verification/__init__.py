"""Evidence that two forms of a network are the same function."""
