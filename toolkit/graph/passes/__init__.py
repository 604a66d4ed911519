"""Rewrites of the exported graph, one a file. Each keeps the function; the pipeline measures that it did."""
