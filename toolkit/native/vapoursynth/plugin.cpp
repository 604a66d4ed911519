// core.rt4ksr.Upscale(clip, engine[, threads, matrix]): upscales a clip with an engine of the native runtime.
#include <string>

#include "colour.h"
#include "engine.h"
#include "filter.h"

namespace {

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
  if (!error && (matrix < 1 || matrix == 2))
    throw Error("matrix must be a number of ITU-T H.273, for example 1 for BT.709 or 6 for BT.601");
  if (found.threads == 0) {
    VSCoreInfo info;
    api->getCoreInfo(core, &info);
    found.threads = info.numThreads;
  }
  return found;
}

void VS_CC create(const VSMap* in, VSMap* out, void*, VSCore* core, const VSAPI* api) {
  try {
    Node node = owned(api->mapGetNode(in, "clip", 0, nullptr), api);
    const Arguments given = arguments_of(in, core, api);
    const VSVideoInfo& clip = *api->getVideoInfo(node.get());
    const Library library(given.engine);
    check(clip, library.description(), api);
    const bool bytes_only = library.description().input.bytes == 1;
    Node made = clip.format.colorFamily == cfYUV
                    ? create_for_yuv(std::move(node), given.engine, bytes_only, given.threads, given.matrix, core, api)
                    : create_filter(std::move(node), given.engine, given.threads, core, api);
    api->mapConsumeNode(out, "clip", made.release(), maReplace);
  } catch (const std::exception& error) {
    api->mapSetError(out, (std::string("rt4ksr.Upscale: ") + error.what()).c_str());
  }
}

}  // namespace

VS_EXTERNAL_API(void) VapourSynthPluginInit2(VSPlugin* plugin, const VSPLUGINAPI* api) {
  api->configPlugin("com.rt4ksr.toolkit", "rt4ksr", "Engines of rt4ksr-toolkit", VS_MAKE_VERSION(1, 0),
                    VAPOURSYNTH_API_VERSION, 0, plugin);
  api->registerFunction("Upscale", "clip:vnode;engine:data;threads:int:opt;matrix:int:opt;", "clip:vnode;", create,
                        nullptr, plugin);
}
