// The filter for RGB and grey clips.
#pragma once
#include <string>

#include "node.h"

// Throws Error where the engine does not take the size of the clip, or cannot be loaded.
Node create_filter(Node node, const std::string& path, int threads, VSCore* core, const VSAPI* api);
