"""The native CPU engine: a graph becomes a list of row stages, these become C++, and that becomes a shared object."""
