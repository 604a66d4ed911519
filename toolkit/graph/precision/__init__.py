"""Precisions: one object for each, and the rewrites that turn a float32 graph into one of them."""
