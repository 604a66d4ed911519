"""The native CPU engine: translates a graph to stages that compute rows, generates C++ for them, and compiles it."""
