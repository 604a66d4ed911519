"""Rewrites of the exported graph, one per file. Each keeps the function; the pipeline measures that it did."""
