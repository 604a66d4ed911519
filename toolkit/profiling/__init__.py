"""Profiling: frame times, memory and energy of runtimes, measured side by side."""
