"""Verification that two forms of a network compute the same function."""
