"""Scripts for VapourSynth."""
