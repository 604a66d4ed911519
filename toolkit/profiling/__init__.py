"""How fast, how steady, how much memory: cells of runtime, artifact and workload, measured side by side."""
