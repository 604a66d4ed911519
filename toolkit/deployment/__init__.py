"""Files with which other programs run artifacts and engines: browsers, Triton and VapourSynth."""
