"""Upscaling and writing still pictures."""
