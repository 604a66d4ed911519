"""Files with which other programs run artifacts and engines: Triton and VapourSynth."""
