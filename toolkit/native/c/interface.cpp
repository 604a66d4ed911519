#include <new>
#include <system_error>
#include <thread>

#include "loading.h"
#include "shared.h"
#include "yuv420.h"

struct NetworkEngine {
  rows::Engine frames;
};

EXPORTED(int, create, (NetworkEngine** engine, int height, int width, int threads)) {
  if (engine == nullptr) return 2;
  *engine = nullptr;
  if (threads < 0) return 2;
  if (!(@SUPPORTED@)) return 4;
  if (height < @SMALLEST@ || width < @SMALLEST@ || height > @LARGEST@ || width > @LARGEST@) return 1;
  if (height % @EVEN@ || width % @EVEN@ || !(@STATIC_SIZE@)) return 1;
  if (threads == 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  try {
    *engine = new NetworkEngine{{kPlan, kVideoPlan, height, width, threads}};
  } catch (const std::bad_alloc&) {
    return 3;
  } catch (const std::system_error&) {
    return 3;
  }
  return 0;
}

EXPORTED(void, destroy, (NetworkEngine* engine)) { delete engine; }

EXPORTED(void, shape, (const NetworkEngine* engine, int* in_height, int* in_width, int* out_height,
                             int* out_width)) {
  const int height = engine ? engine->frames.height() : 0, width = engine ? engine->frames.width() : 0;
  const int scale = engine ? engine->frames.scale() : 0;
  if (in_height) *in_height = height;
  if (in_width) *in_width = width;
  if (out_height) *out_height = height * scale;
  if (out_width) *out_width = width * scale;
}

EXPORTED(int, run, (NetworkEngine* engine, const void* input, void* output)) {
  if (engine == nullptr || input == nullptr || output == nullptr) return 2;
  return engine->frames.run(input, output) ? 0 : 3;
}

EXPORTED(int, run_rows, (NetworkEngine* engine, const void* input, void* output, int first, int count)) {
  if (engine == nullptr || input == nullptr || output == nullptr) return 2;
  const int unit = engine->frames.unit();
  if (first < 0 || count < 1 || first > engine->frames.height() - count || first % unit || count % unit) return 1;
  return engine->frames.run_rows(input, output, first, count) ? 0 : 3;
}

EXPORTED(int, run_yuv420, (NetworkEngine* engine, const rt4ksr_yuv420* input, const rt4ksr_yuv420* output, int first,
                           int count)) {
  if (engine == nullptr || input == nullptr || output == nullptr || !@VIDEO@) return 2;
  if (input->luma == nullptr || input->cb == nullptr || input->cr == nullptr) return 2;
  if (output->luma == nullptr || (output->cb == nullptr) != (output->cr == nullptr)) return 2;
  if (!rows::Video::known(*input) || !rows::Video::known(*output)) return 2;
  const int height = engine->frames.height(), unit = engine->frames.unit();
  if (height % 2 || engine->frames.width() % 2 || first % 2 || count % 2 || first % unit || count % unit) return 1;
  if (first < 0 || count < 1 || first > height - count) return 1;
  return engine->frames.run_video(*input, *output, first, count) ? 0 : 3;
}

EXPORTED(size_t, working_bytes, (const NetworkEngine* engine)) {
  return engine ? engine->frames.bytes() : 0;
}

EXPORTED(const char*, error, (int code)) { return error_text(code); }

EXPORTED(const char*, version, (void)) { return version_text(); }

EXPORTED(const char*, executed, (void)) { return kExecuted; }

extern "C" __attribute__((visibility("default"))) const rt4ksr_description* rt4ksr_describe(void) {
  static const rt4ksr_description description = {
      RT4KSR_DESCRIPTION,
      @SCALE@,
      @MULTIPLE@,
      @SMALLEST@,
      @FIXED_HEIGHT@,
      @FIXED_WIDTH@,
      @INPUT_PORT@,
      @OUTPUT_PORT@,
      [](void** engine, int height, int width, int threads) {
        return create(reinterpret_cast<NetworkEngine**>(engine), height, width, threads);
      },
      [](void* engine) { destroy(static_cast<NetworkEngine*>(engine)); },
      [](void* engine, const void* input, void* output) {
        return run(static_cast<NetworkEngine*>(engine), input, output);
      },
      [](void* engine, const void* input, void* output, int first, int count) {
        return run_rows(static_cast<NetworkEngine*>(engine), input, output, first, count);
      },
  };
  return &description;
}
