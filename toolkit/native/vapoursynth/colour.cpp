#include "colour.h"

#include <cstdint>

#include "engine.h"
#include "filter.h"

namespace {

constexpr std::int64_t kUnspecified = 2;

std::int64_t property(const VSFrame* frame, const char* name, std::int64_t otherwise, const VSAPI* api) {
  int error = 0;
  const std::int64_t found = api->mapGetInt(api->getFramePropertiesRO(frame), name, 0, &error);
  return error ? otherwise : found;
}

// Whether black is 0. Later versions of VapourSynth have _Range; both say limited by default, as YUV is.
bool is_full(const VSFrame* frame, const VSAPI* api) {
  return property(frame, "_Range", property(frame, "_ColorRange", 1, api) == 0, api) == 1;
}

// How a YUV clip is coded, for the way back from RGB.
struct Colour {
  std::int64_t matrix = kUnspecified, chroma = -1;
};

// From the properties of the first frame.
Colour colour_of(const Node& node, const VSAPI* api) {
  char message[512] = "";
  const VSFrame* frame = api->getFrame(0, node.get(), message, sizeof message);
  if (frame == nullptr) throw Error(message);
  const Colour found{property(frame, "_Matrix", kUnspecified, api), property(frame, "_ChromaLocation", -1, api)};
  api->freeFrame(frame);
  if (found.matrix == kUnspecified)
    throw Error("frame 0 has no _Matrix, so YUV cannot be converted to RGB: give one, matrix=1 for BT.709 or matrix=6 "
                "for BT.601, or convert the clip with resize.Bicubic(clip, format=vs.RGB48, matrix_in_s=\"709\")");
  return found;
}

// Frames of one of two clips, by the range of the frame that they were made from. Players know it only while they play.
struct ByRange {
  Node source, limited, full;
};

const VSFrame* VS_CC get_by_range(int n, int reason, void* data, void** chosen, VSFrameContext* context, VSCore*,
                                  const VSAPI* api) {
  const auto* clips = static_cast<ByRange*>(data);
  if (reason == arInitial) api->requestFrameFilter(n, clips->source.get(), context);
  if (reason != arAllFramesReady) return nullptr;
  if (*chosen != nullptr) return api->getFrameFilter(n, static_cast<VSNode*>(*chosen), context);
  const VSFrame* source = api->getFrameFilter(n, clips->source.get(), context);
  *chosen = (is_full(source, api) ? clips->full : clips->limited).get();
  api->freeFrame(source);
  api->requestFrameFilter(n, static_cast<VSNode*>(*chosen), context);
  return nullptr;
}

void VS_CC free_by_range(void* data, VSCore*, const VSAPI*) { delete static_cast<ByRange*>(data); }

Node by_range(Node source, Node limited, Node full, VSCore* core, const VSAPI* api) {
  auto clips = std::make_unique<ByRange>(ByRange{std::move(source), std::move(limited), std::move(full)});
  const VSFilterDependency dependencies[] = {{clips->source.get(), rpStrictSpatial},
                                             {clips->limited.get(), rpStrictSpatial},
                                             {clips->full.get(), rpStrictSpatial}};
  const VSVideoInfo* info = api->getVideoInfo(clips->limited.get());
  Node made = owned(api->createVideoFilter2("UpscaleRange", info, get_by_range, free_by_range, fmParallel,
                                            dependencies, 3, clips.get(), core), api);
  if (made == nullptr) throw Error("VapourSynth could not create the filter");
  clips.release();  // the clip owns them
  return made;
}

// resize.Bicubic on a clip. `set` adds arguments.
template <class Set>
Node resized(Node node, std::uint32_t format, Set set, VSCore* core, const VSAPI* api) {
  VSMap* arguments = api->createMap();
  api->mapConsumeNode(arguments, "clip", node.release(), maReplace);
  api->mapSetInt(arguments, "format", format, maReplace);
  set(arguments);
  VSMap* returned = api->invoke(api->getPluginByID("com.vapoursynth.resize", core), "Bicubic", arguments);
  api->freeMap(arguments);
  const char* reason = api->mapGetError(returned);
  const std::string message = reason ? reason : "";
  Node made = owned(reason ? nullptr : api->mapGetNode(returned, "clip", 0, nullptr), api);
  api->freeMap(returned);
  if (made == nullptr) throw Error(message);
  return made;
}

std::uint32_t id_of(const VSVideoFormat& format, VSCore* core, const VSAPI* api) {
  return api->queryVideoFormatID(format.colorFamily, format.sampleType, format.bitsPerSample, format.subSamplingW,
                                 format.subSamplingH, core);
}

}  // namespace

Node create_for_yuv(Node node, const std::string& path, bool bytes_only, int threads, int matrix, VSCore* core,
                    const VSAPI* api) {
  const VSVideoFormat format = api->getVideoInfo(node.get())->format;
  Colour colour;
  colour.matrix = matrix;
  if (matrix < 0) colour = colour_of(node, api);
  // Rounding to 16 bits is far finer than that of the result, and limits colours to what RGB can show.
  const std::uint32_t rgb = format.sampleType == stFloat ? pfRGBS : bytes_only ? pfRGB24 : pfRGB48;
  const auto in = [&](VSMap* map) {
    if (matrix >= 0) api->mapSetInt(map, "matrix_in", matrix, maReplace);
  };
  Node upscaled = create_filter(resized(another(node, api), rgb, in, core, api), path, threads, core, api);
  const auto back = [&](const std::string& range) {
    const auto out = [&](VSMap* map) {
      api->mapSetInt(map, "matrix", colour.matrix, maReplace);
      api->mapSetData(map, "range_s", range.c_str(), static_cast<int>(range.size()), dtUtf8, maReplace);
      if (colour.chroma >= 0) api->mapSetInt(map, "chromaloc", colour.chroma, maReplace);
    };
    return resized(another(upscaled, api), id_of(format, core, api), out, core, api);
  };
  return by_range(std::move(node), back("limited"), back("full"), core, api);
}
