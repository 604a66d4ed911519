"""Compact (SRVGGNetCompact of Real-ESRGAN)."""
