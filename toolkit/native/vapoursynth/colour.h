// The filter for YUV clips: that for RGB, between two conversions by VapourSynth's own resize.Bicubic.
#pragma once
#include <string>

#include "node.h"

// `bytes_only`: the engine takes 8 bits. `matrix`: of ITU-T H.273; -1: that of the first frame. Throws Error.
Node create_for_yuv(Node node, const std::string& path, bool bytes_only, int threads, int matrix, VSCore* core,
                    const VSAPI* api);
