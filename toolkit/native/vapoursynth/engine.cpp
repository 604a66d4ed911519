#include "engine.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <algorithm>

namespace {

std::string library_path(const std::string& path) {
  struct stat found;
  if (stat(path.c_str(), &found) != 0) throw Error("there is no engine " + path);
  const std::string library = S_ISDIR(found.st_mode) ? path + "/engine.so" : path;
  if (stat(library.c_str(), &found) != 0)
    throw Error(path + " is not an engine of the native runtime: it has no engine.so");
  // dlopen looks a name without a slash up elsewhere.
  return library.find('/') == std::string::npos ? "./" + library : library;
}

std::string size(int height, int width) { return std::to_string(width) + "x" + std::to_string(height); }

}  // namespace

Library::Library(const std::string& path) {
  const std::string library = library_path(path);
  handle_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_ == nullptr) throw Error(library + " cannot be loaded: " + dlerror());
  const auto describe = reinterpret_cast<rt4ksr_describe_function>(dlsym(handle_, RT4KSR_DESCRIBE));
  if (describe != nullptr) description_ = describe();
  if (description_ == nullptr || description_->version < RT4KSR_DESCRIPTION) {
    dlclose(handle_);
    throw Error(library + " does not describe itself: build the engine again, toolkit build ARTIFACT --runtime native");
  }
}

Library::~Library() { dlclose(handle_); }

int Library::padded(int side) const {
  const int multiple = description_->multiple;
  return (std::max(side, description_->smallest) + multiple - 1) / multiple * multiple;
}

Engine::Engine(const std::string& path, int height, int width, int threads)
    : library_(path), height_(library_.padded(height)), width_(library_.padded(width)), threads_(threads) {
  const rt4ksr_description& about = description();
  const bool fixed = about.fixed_height != 0;
  switch (about.create(&engine_, height_, width_, threads)) {
    case 0: return;
    case 1:
      throw Error("the engine does not take " + size(height, width) +
                  (fixed ? ", only " + size(about.fixed_height, about.fixed_width) : std::string()));
    case 3: throw Error("there is not enough memory, or no thread could be created");
    case 4: throw Error("this CPU lacks instructions that the engine was built for: build it again on this machine");
    default: throw Error("the engine does not take these arguments");
  }
}

Engine::~Engine() { description().destroy(engine_); }

std::size_t Engine::input_bytes() const {
  const rt4ksr_port& port = description().input;
  return static_cast<std::size_t>(height_) * width_ * port.channels * port.bytes;
}

std::size_t Engine::output_bytes() const {
  const rt4ksr_port& port = description().output;
  const std::size_t scale = description().scale;
  return height_ * scale * width_ * scale * port.channels * port.bytes;
}

void Engine::run(const void* input, void* output) const {
  const int code = threads_ == 1 ? description().run_rows(engine_, input, output, 0, height_)
                                 : description().run(engine_, input, output);
  if (code != 0) throw Error("the engine could not compute a frame: there is not enough memory");
}
