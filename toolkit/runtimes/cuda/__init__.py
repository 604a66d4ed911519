"""NVIDIA GPUs without a framework: the driver's library, devices, frames, and the base class of GPU sessions."""
