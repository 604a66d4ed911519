"""The native CPU engine as a runtime."""
