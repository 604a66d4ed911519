// core.rt4ksr.Upscale(clip, engine[, threads, matrix]): upscales a clip with an engine of the native runtime.
//
// RGB and grey clips are converted to frames of the engine here. YUV clips are converted to RGB and back by VapourSynth's
// own resize.Bicubic, which this function inserts before and after the filter.
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "conversion.h"
#include "engine.h"

namespace {

struct Buffers {
  std::vector<std::uint8_t> input, output;
};

class Filter {
 public:
  Filter(VSNode* node, const VSVideoInfo& given, const std::string& path, int threads)
      : node_(node), given_(given), returned_(given), engine_(path, given.height, given.width, threads) {
    returned_.width *= engine_.description().scale;
    returned_.height *= engine_.description().scale;
  }

  VSNode* node() const { return node_; }
  const VSVideoInfo& returned() const { return returned_; }
  const rt4ksr_description& description() const { return engine_.description(); }

  VSFrame* upscaled(const VSFrame* source, VSCore* core, const VSAPI* api) {
    std::unique_ptr<Buffers> buffers = take();
    read(source, buffers->input.data(), api);
    engine_.run(buffers->input.data(), buffers->output.data());
    VSFrame* result = api->newVideoFrame(&returned_.format, returned_.width, returned_.height, source, core);
    write(buffers->output.data(), result, core, api);
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(buffers));
    return result;
  }

 private:
  std::unique_ptr<Buffers> take() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!idle_.empty()) {
        std::unique_ptr<Buffers> found = std::move(idle_.back());
        idle_.pop_back();
        return found;
      }
    }
    auto made = std::make_unique<Buffers>();
    made->input.resize(engine_.input_bytes());
    made->output.resize(engine_.output_bytes());
    return made;
  }

  void read(const VSFrame* source, void* frame, const VSAPI* api) const {
    const rt4ksr_port& port = description().input;
    const double white = white_of(given_.format);
    for (int colour = 0; colour < port.channels; ++colour) {
      const int plane = given_.format.numPlanes == 1 ? 0 : colour;  // grey is repeated
      const Samples from{const_cast<std::uint8_t*>(api->getReadPtr(source, plane)), api->getStride(source, plane)};
      const Samples to = in_frame(frame, port, colour, engine_.height(), engine_.width());
      with_sample(given_.format, [&](auto sample) {
        with_value(port, [&](auto value, auto step) {
          encode<decltype(sample), decltype(value), decltype(step)::value>(
              from, given_.height, given_.width, white, port, to, engine_.height(), engine_.width());
        });
      });
    }
  }

  void write(void* frame, VSFrame* result, VSCore* core, const VSAPI* api) const {
    const rt4ksr_port& port = description().output;
    const bool grey = given_.format.numPlanes == 1 && port.channels == 3;
    // Grey is the mean of the three results, of which two need a place.
    VSFrame* others[2] = {nullptr, nullptr};
    if (grey)
      for (VSFrame*& other : others)
        other = api->newVideoFrame(&returned_.format, returned_.width, returned_.height, nullptr, core);
    Samples planes[3];
    for (int colour = 0; colour < port.channels; ++colour) {
      VSFrame* target = grey && colour > 0 ? others[colour - 1] : result;
      const int plane = grey ? 0 : colour;
      planes[colour] = {api->getWritePtr(target, plane), api->getStride(target, plane)};
      decode_plane(frame, colour, planes[colour]);
    }
    if (grey)
      with_sample(returned_.format, [&](auto sample) {
        average<decltype(sample)>(planes[0], planes[1], planes[2], returned_.height, returned_.width);
      });
    for (const VSFrame* other : others)
      if (other != nullptr) api->freeFrame(other);
  }

  void decode_plane(void* frame, int colour, const Samples& to) const {
    const rt4ksr_port& port = description().output;
    const int scale = description().scale;
    const Samples from = in_frame(frame, port, colour, engine_.height() * scale, engine_.width() * scale);
    with_sample(returned_.format, [&](auto sample) {
      with_value(port, [&](auto value, auto step) {
        decode<decltype(sample), decltype(value), decltype(step)::value>(from, port, to, returned_.height,
                                                                         returned_.width, white_of(returned_.format));
      });
    });
  }

  VSNode* node_;
  VSVideoInfo given_, returned_;
  Engine engine_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Buffers>> idle_;
};

const VSFrame* VS_CC get_frame(int n, int reason, void* data, void**, VSFrameContext* context, VSCore* core,
                               const VSAPI* api) {
  auto* filter = static_cast<Filter*>(data);
  if (reason == arInitial) api->requestFrameFilter(n, filter->node(), context);
  if (reason != arAllFramesReady) return nullptr;
  const VSFrame* source = api->getFrameFilter(n, filter->node(), context);
  VSFrame* result = nullptr;
  try {
    result = filter->upscaled(source, core, api);
  } catch (const std::exception& error) {
    api->setFilterError((std::string("rt4ksr.Upscale: ") + error.what()).c_str(), context);
  }
  api->freeFrame(source);
  return result;
}

void VS_CC free_filter(void* data, VSCore*, const VSAPI* api) {
  std::unique_ptr<Filter> filter(static_cast<Filter*>(data));
  api->freeNode(filter->node());
}

std::string name_of(const VSVideoFormat& format, const VSAPI* api) {
  char name[32] = "";
  api->getVideoFormatName(&format, name);
  return name;
}

// Refuses clips that the engine does not take, and says what converts them.
void check(const VSVideoInfo& clip, const rt4ksr_description& about, const VSAPI* api) {
  const VSVideoFormat& format = clip.format;
  if (format.colorFamily == cfUndefined || clip.width == 0)
    throw Error("clips of variable format or size are not supported");
  const std::string name = name_of(format, api);
  const bool grey = format.colorFamily == cfGray, floating = format.sampleType == stFloat;
  if (about.input.channels == 1 && !grey)
    throw Error("the engine takes grey clips, not " + name + ": luma of YUV is std.ShufflePlanes(clip, 0, vs.GRAY)");
  const bool bytes_only = about.input.bytes == 1;
  const bool known = floating ? format.bitsPerSample == 32 : format.bitsPerSample <= 16;
  if (!known || (bytes_only && (floating || format.bitsPerSample > 8)))
    throw Error("the engine does not take " + name + ": convert the clip with resize.Bicubic(clip, format=vs." +
                (bytes_only ? (grey ? "GRAY8" : "RGB24") : (grey ? "GRAYS" : "RGBS")) + ")");
}

// Creates the filter for an RGB or grey clip, and consumes the reference to it.
VSNode* create_filter(VSNode* node, const std::string& path, int threads, VSCore* core, const VSAPI* api) {
  std::unique_ptr<Filter> filter;
  try {
    filter = std::make_unique<Filter>(node, *api->getVideoInfo(node), path, threads);
  } catch (...) {
    api->freeNode(node);
    throw;
  }
  const VSFilterDependency dependency{node, rpStrictSpatial};
  // With one thread, the core's threads compute frames at the same time; otherwise all threads compute the same frame.
  const VSFilterMode mode = threads == 1 ? fmParallel : fmParallelRequests;
  VSNode* made = api->createVideoFilter2("Upscale", &filter->returned(), get_frame, free_filter, mode, &dependency, 1,
                                         filter.get(), core);
  if (made == nullptr) {
    api->freeNode(node);
    throw Error("VapourSynth could not create the filter");
  }
  filter.release();
  return made;
}

// How a YUV clip is coded, for the way back from RGB.
struct Colour {
  std::int64_t matrix = 2;
  bool full = false;
  std::int64_t chroma = -1;
};

constexpr std::int64_t kUnspecified = 2;

// From the properties of the first frame.
Colour colour_of(VSNode* node, const VSAPI* api) {
  char message[512] = "";
  const VSFrame* frame = api->getFrame(0, node, message, sizeof message);
  if (frame == nullptr) throw Error(message);
  const VSMap* properties = api->getFramePropertiesRO(frame);
  const auto value = [&](const char* name, std::int64_t otherwise) {
    int error = 0;
    const std::int64_t found = api->mapGetInt(properties, name, 0, &error);
    return error ? otherwise : found;
  };
  Colour found;
  found.matrix = value("_Matrix", kUnspecified);
  found.chroma = value("_ChromaLocation", -1);
  found.full = value("_Range", value("_ColorRange", 1) == 0 ? 1 : 0) == 1;
  api->freeFrame(frame);
  if (found.matrix == kUnspecified)
    throw Error("frame 0 has no _Matrix, so YUV cannot be converted to RGB: give one, matrix=1 for BT.709 or matrix=6 "
                "for BT.601, or convert the clip with resize.Bicubic(clip, format=vs.RGB48, matrix_in_s=\"709\")");
  return found;
}

// resize.Bicubic on a clip, whose reference is consumed. `set` adds arguments.
template <class Set>
VSNode* resized(VSNode* node, std::uint32_t format, Set set, VSCore* core, const VSAPI* api) {
  VSMap* arguments = api->createMap();
  api->mapConsumeNode(arguments, "clip", node, maReplace);
  api->mapSetInt(arguments, "format", format, maReplace);
  set(arguments);
  VSMap* returned = api->invoke(api->getPluginByID("com.vapoursynth.resize", core), "Bicubic", arguments);
  api->freeMap(arguments);
  const char* reason = api->mapGetError(returned);
  const std::string message = reason ? reason : "";
  VSNode* made = reason ? nullptr : api->mapGetNode(returned, "clip", 0, nullptr);
  api->freeMap(returned);
  if (made == nullptr) throw Error(message);
  return made;
}

std::uint32_t id_of(const VSVideoFormat& format, VSCore* core, const VSAPI* api) {
  return api->queryVideoFormatID(format.colorFamily, format.sampleType, format.bitsPerSample, format.subSamplingW,
                                 format.subSamplingH, core);
}

// The filter between two conversions. The reference to the clip is consumed.
VSNode* create_for_yuv(VSNode* node, const std::string& path, bool bytes_only, int threads, int matrix, VSCore* core,
                       const VSAPI* api) {
  const VSVideoFormat format = api->getVideoInfo(node)->format;
  Colour colour;
  colour.matrix = matrix;
  try {
    if (matrix < 0) colour = colour_of(node, api);
  } catch (...) {
    api->freeNode(node);
    throw;
  }
  // Rounding to 16 bits is far finer than that of the result, and limits colours to what RGB can show.
  const std::uint32_t rgb = format.sampleType == stFloat ? pfRGBS : bytes_only ? pfRGB24 : pfRGB48;
  const auto in = [&](VSMap* map) {
    if (matrix >= 0) api->mapSetInt(map, "matrix_in", matrix, maReplace);
  };
  const auto out = [&](VSMap* map) {
    api->mapSetInt(map, "matrix", colour.matrix, maReplace);
    const std::string range = colour.full ? "full" : "limited";
    api->mapSetData(map, "range_s", range.c_str(), static_cast<int>(range.size()), dtUtf8, maReplace);
    if (colour.chroma >= 0) api->mapSetInt(map, "chromaloc", colour.chroma, maReplace);
  };
  VSNode* upscaled = create_filter(resized(node, rgb, in, core, api), path, threads, core, api);
  return resized(upscaled, id_of(format, core, api), out, core, api);
}

struct Arguments {
  std::string engine;
  int threads, matrix;  // matrix: -1, of the clip
};

Arguments arguments_of(const VSMap* in, VSCore* core, const VSAPI* api) {
  int error = 0;
  Arguments found{api->mapGetData(in, "engine", 0, &error), 0, -1};
  const int threads = api->mapGetIntSaturated(in, "threads", 0, &error);
  if (!error) found.threads = threads;
  const int matrix = api->mapGetIntSaturated(in, "matrix", 0, &error);
  if (!error) found.matrix = matrix;
  if (found.threads < 0 || found.threads > 512) throw Error("threads must be 0 (as many as the core has) to 512");
  if (!error && (matrix < 1 || matrix == kUnspecified))
    throw Error("matrix must be a number of ITU-T H.273, for example 1 for BT.709 or 6 for BT.601");
  if (found.threads == 0) {
    VSCoreInfo info;
    api->getCoreInfo(core, &info);
    found.threads = info.numThreads;
  }
  return found;
}

void VS_CC create(const VSMap* in, VSMap* out, void*, VSCore* core, const VSAPI* api) {
  VSNode* node = api->mapGetNode(in, "clip", 0, nullptr);
  try {
    const Arguments given = arguments_of(in, core, api);
    const VSVideoInfo clip = *api->getVideoInfo(node);
    const Library library(given.engine);
    check(clip, library.description(), api);
    const bool bytes_only = library.description().input.bytes == 1;
    VSNode* own = api->addNodeRef(node);
    VSNode* made = clip.format.colorFamily == cfYUV
                       ? create_for_yuv(own, given.engine, bytes_only, given.threads, given.matrix, core, api)
                       : create_filter(own, given.engine, given.threads, core, api);
    api->mapConsumeNode(out, "clip", made, maReplace);
  } catch (const std::exception& error) {
    api->mapSetError(out, (std::string("rt4ksr.Upscale: ") + error.what()).c_str());
  }
  api->freeNode(node);
}

}  // namespace

VS_EXTERNAL_API(void) VapourSynthPluginInit2(VSPlugin* plugin, const VSPLUGINAPI* api) {
  api->configPlugin("com.rt4ksr.toolkit", "rt4ksr", "Engines of rt4ksr-toolkit", VS_MAKE_VERSION(1, 0),
                    VAPOURSYNTH_API_VERSION, 0, plugin);
  api->registerFunction("Upscale", "clip:vnode;engine:data;threads:int:opt;matrix:int:opt;", "clip:vnode;", create,
                        nullptr, plugin);
}
