// A reference to a clip, released at the end of its scope.
#pragma once
#include <memory>

#include "VapourSynth4.h"

struct FreeNode {
  const VSAPI* api;
  void operator()(VSNode* node) const { api->freeNode(node); }
};

using Node = std::unique_ptr<VSNode, FreeNode>;

inline Node owned(VSNode* node, const VSAPI* api) { return Node(node, FreeNode{api}); }
inline Node another(const Node& node, const VSAPI* api) { return owned(api->addNodeRef(node.get()), api); }
