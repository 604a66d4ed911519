"""The CUDA driver, through ctypes."""
