"""Upscales videos: decoding, encoding, clocks, streams."""
