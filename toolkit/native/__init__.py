"""The native CPU engine: translates a graph to row stages, these to C++, and compiles that to a shared object."""
