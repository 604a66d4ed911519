// An engine of the native runtime, loaded for frames of one size.
#pragma once
#include <memory>
#include <stdexcept>
#include <string>

#include "loading.h"

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A shared object and what it says about itself.
class Library {
 public:
  // `path`: of a bundle (a directory with engine.so), or of the shared object. Throws Error.
  explicit Library(const std::string& path);
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  const rt4ksr_description& description() const { return *description_; }

  // The smallest side that the network takes and that contains `side` pixels.
  int padded(int side) const;

 private:
  void* handle_ = nullptr;
  const rt4ksr_description* description_ = nullptr;
};

// An engine for frames of `height` x `width` pixels, which it extends by reflection to a size that the network takes.
class Engine {
 public:
  // Throws Error where the network does not take the size.
  Engine(const std::string& path, int height, int width, int threads);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const rt4ksr_description& description() const { return library_.description(); }
  int height() const { return height_; }  // of frames that `run` takes
  int width() const { return width_; }
  std::size_t input_bytes() const;
  std::size_t output_bytes() const;

  // Computes a frame with the engine's threads, or, if it has only one, in the calling thread; calls may then be
  // concurrent. Throws Error.
  void run(const void* input, void* output) const;

 private:
  Library library_;
  int height_, width_, threads_;
  void* engine_ = nullptr;
};
