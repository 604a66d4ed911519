#include "filter.h"

#include <mutex>
#include <vector>

#include "conversion.h"
#include "engine.h"

namespace {

struct Buffers {
  std::vector<std::uint8_t> input, output;
};

class Filter {
 public:
  Filter(Node node, const VSVideoInfo& given, const std::string& path, int threads)
      : node_(std::move(node)), given_(given), returned_(given), engine_(path, given.height, given.width, threads) {
    returned_.width *= engine_.description().scale;
    returned_.height *= engine_.description().scale;
  }

  VSNode* node() const { return node_.get(); }
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

  Node node_;
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

void VS_CC free_filter(void* data, VSCore*, const VSAPI*) { delete static_cast<Filter*>(data); }

}  // namespace

Node create_filter(Node node, const std::string& path, int threads, VSCore* core, const VSAPI* api) {
  const VSVideoInfo& clip = *api->getVideoInfo(node.get());
  auto filter = std::make_unique<Filter>(std::move(node), clip, path, threads);
  const VSFilterDependency dependency{filter->node(), rpStrictSpatial};
  // With one thread, the core's threads compute frames at the same time; otherwise all threads compute the same frame.
  const VSFilterMode mode = threads == 1 ? fmParallel : fmParallelRequests;
  Node made = owned(api->createVideoFilter2("Upscale", &filter->returned(), get_frame, free_filter, mode, &dependency,
                                            1, filter.get(), core), api);
  if (made == nullptr) throw Error("VapourSynth could not create the filter");
  filter.release();  // the clip owns it
  return made;
}
