// engine.so of a bundle with several targets. It runs on every CPU of its kind, has the functions of engine.h, and
// calls those of the fastest engine beside it that this CPU supports and that can be loaded.
#include <dlfcn.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "loading.h"
#include "shared.h"
#include "yuv420.h"
@TILES@

struct NetworkEngine;

namespace {

struct Functions {
  int (*create)(NetworkEngine**, int, int, int);
  void (*destroy)(NetworkEngine*);
  void (*shape)(const NetworkEngine*, int*, int*, int*, int*);
  int (*run)(NetworkEngine*, const void*, void*);
  int (*run_rows)(NetworkEngine*, const void*, void*, int, int);
  int (*run_yuv420)(NetworkEngine*, const rt4ksr_yuv420*, const rt4ksr_yuv420*, int, int);
  size_t (*working_bytes)(const NetworkEngine*);
  const char* (*executed)(void);
  rt4ksr_describe_function describe;
};

Functions chosen;
int failure = 4;  // what `create` returns without an engine

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
}

// Loads an engine file from the directory in which this library lies. False: it is missing, or is not that file.
bool take(const char* file) {
  failure = 5;
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&take), &self) == 0) return false;
  const char* const slash = strrchr(self.dli_fname, '/');
  const size_t folder = slash == nullptr ? 0 : static_cast<size_t>(slash + 1 - self.dli_fname);
  char path[PATH_MAX];
  if (folder + strlen(file) >= sizeof path) return false;
  memcpy(path, self.dli_fname, folder);
  strcpy(path + folder, file);
  void* const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return false;
  find(library, "@SYMBOL@_create", chosen.create);
  if (chosen.create == nullptr) {
    dlclose(library);
    return false;
  }
  find(library, "@SYMBOL@_destroy", chosen.destroy);
  find(library, "@SYMBOL@_shape", chosen.shape);
  find(library, "@SYMBOL@_run", chosen.run);
  find(library, "@SYMBOL@_run_rows", chosen.run_rows);
  find(library, "@SYMBOL@_run_yuv420", chosen.run_yuv420);
  find(library, "@SYMBOL@_working_bytes", chosen.working_bytes);
  find(library, "@SYMBOL@_executed", chosen.executed);
  find(library, RT4KSR_DESCRIBE, chosen.describe);
  return true;
}

// When this file is loaded: a path relative to the working directory may be wrong later.
__attribute__((constructor)) void load() {
#ifdef __x86_64__
  __builtin_cpu_init();
#endif
@CHOICES@
}

}  // namespace

// Without an engine file nothing can be created, so that every engine that is not null comes from the chosen file.

EXPORTED(int, create, (NetworkEngine** engine, int height, int width, int threads)) {
  if (chosen.create != nullptr) return chosen.create(engine, height, width, threads);
  if (engine == nullptr) return 2;
  *engine = nullptr;
  return failure;
}

EXPORTED(void, destroy, (NetworkEngine* engine)) {
  if (engine != nullptr) chosen.destroy(engine);
}

EXPORTED(void, shape, (const NetworkEngine* engine, int* in_height, int* in_width, int* out_height,
                             int* out_width)) {
  if (engine != nullptr) return chosen.shape(engine, in_height, in_width, out_height, out_width);
  int* const sides[] = {in_height, in_width, out_height, out_width};
  for (int* const side : sides)
    if (side != nullptr) *side = 0;
}

EXPORTED(int, run, (NetworkEngine* engine, const void* input, void* output)) {
  return engine == nullptr ? 2 : chosen.run(engine, input, output);
}

EXPORTED(int, run_rows, (NetworkEngine* engine, const void* input, void* output, int first, int count)) {
  return engine == nullptr ? 2 : chosen.run_rows(engine, input, output, first, count);
}

EXPORTED(int, run_yuv420, (NetworkEngine* engine, const rt4ksr_yuv420* input, const rt4ksr_yuv420* output, int first,
                           int count)) {
  return engine == nullptr ? 2 : chosen.run_yuv420(engine, input, output, first, count);
}

EXPORTED(size_t, working_bytes, (const NetworkEngine* engine)) {
  return engine == nullptr ? 0 : chosen.working_bytes(engine);
}

EXPORTED(const char*, error, (int code)) { return error_text(code); }

EXPORTED(const char*, version, (void)) { return version_text(); }

EXPORTED(const char*, executed, (void)) { return chosen.executed == nullptr ? "{}" : chosen.executed(); }

extern "C" __attribute__((visibility("default"))) const rt4ksr_description* rt4ksr_describe(void) {
  return chosen.describe == nullptr ? nullptr : chosen.describe();
}
