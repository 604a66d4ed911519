#include <new>
#include <system_error>
#include <thread>

#define EXPORTED extern "C" __attribute__((visibility("default")))

struct @SYMBOL@_engine {
  rows::Engine frames;
};

EXPORTED int @SYMBOL@_create(@SYMBOL@_engine** engine, int height, int width, int threads) {
  if (engine == nullptr || threads < 0) return 2;
  *engine = nullptr;
  if (!(@SUPPORTED@)) return 4;
  constexpr int kLargest = 1 << 16;
  if (height < @SMALLEST@ || width < @SMALLEST@ || height > kLargest || width > kLargest) return 1;
  if (height % @EVEN@ || width % @EVEN@ || !(@STATIC_SIZE@)) return 1;
  if (threads == 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  try {
    *engine = new @SYMBOL@_engine{{kPlan, height, width, threads}};
  } catch (const std::bad_alloc&) {
    return 3;
  } catch (const std::system_error&) {
    return 3;
  }
  return 0;
}

EXPORTED void @SYMBOL@_destroy(@SYMBOL@_engine* engine) { delete engine; }

EXPORTED void @SYMBOL@_shape(const @SYMBOL@_engine* engine, int* in_height, int* in_width, int* out_height,
                             int* out_width) {
  const int height = engine->frames.height(), width = engine->frames.width(), scale = engine->frames.scale();
  if (in_height) *in_height = height;
  if (in_width) *in_width = width;
  if (out_height) *out_height = height * scale;
  if (out_width) *out_width = width * scale;
}

EXPORTED int @SYMBOL@_run(@SYMBOL@_engine* engine, const void* input, void* output) {
  if (engine == nullptr || input == nullptr || output == nullptr) return 2;
  return engine->frames.run(input, output) ? 0 : 3;
}

EXPORTED int @SYMBOL@_run_rows(@SYMBOL@_engine* engine, const void* input, void* output, int first, int count) {
  if (engine == nullptr || input == nullptr || output == nullptr) return 2;
  const int unit = engine->frames.unit();
  if (first < 0 || count < 1 || first > engine->frames.height() - count || first % unit || count % unit) return 1;
  return engine->frames.run_rows(input, output, first, count) ? 0 : 3;
}

EXPORTED size_t @SYMBOL@_working_bytes(const @SYMBOL@_engine* engine) { return engine->frames.bytes(); }

EXPORTED const char* @SYMBOL@_executed(void) { return kExecuted; }
