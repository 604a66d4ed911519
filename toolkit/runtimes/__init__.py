"""Runtimes behind one protocol: probe, load, run, and say what really ran."""
