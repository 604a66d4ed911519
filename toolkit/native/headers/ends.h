// Input and output frames in the caller's memory: RGB or luma, float32 or uint8, in planes (NCHW) or interleaved
// (NHWC).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "lanes.h"

namespace rows {

enum class Layout { kPlanes, kInterleaved };

constexpr int kRgb = 3;

// What `read_frame` does for whole tiles of interleaved RGB bytes, in two steps: compilers vectorise loads with a step
// of three, and with a step of `Factor`, but not with their product.
template <int Factor>
inline void read_rgb_bytes(const std::uint8_t* frame, int width, int row, int column, float* tile) {
  for (int dy = 0; dy < Factor; ++dy) {
    const std::ptrdiff_t pixel = (static_cast<std::ptrdiff_t>(row) * Factor + dy) * width + column * Factor;
    const std::uint8_t* from = frame + pixel * kRgb;
    alignas(64) std::uint8_t colours[kRgb][kTile * Factor];
    for (int x = 0; x < kTile * Factor; ++x)
      for (int colour = 0; colour < kRgb; ++colour) colours[colour][x] = from[kRgb * x + colour];
    for (int colour = 0; colour < kRgb; ++colour)
      for (int dx = 0; dx < Factor; ++dx) {
        float* to = tile + ((colour * Factor + dy) * Factor + dx) * kTile;
        for (int x = 0; x < kTile; ++x) to[x] = static_cast<float>(colours[colour][x * Factor + dx]);
      }
  }
}

// Reads a tile of the input frame with pixel unshuffle by `Factor`: channel (c, dy, dx) of pixel x is colour c of pixel
// Factor * x + dx of row Factor * row + dy. `count`: pixels up to the edge of the frame; the rest is filled with zeros.
template <class Sample, Layout layout, int Factor, int Colours = kRgb>
inline void read_frame(const Sample* frame, int height, int width, int row, int column, int count, float* tile) {
  constexpr int kStep = layout == Layout::kInterleaved ? Colours : 1;
  if constexpr (std::is_same_v<Sample, std::uint8_t> && kStep == kRgb)
    if (count >= kTile) return read_rgb_bytes<Factor>(frame, width, row, column, tile);
  const std::ptrdiff_t line = static_cast<std::ptrdiff_t>(width) * kStep;
  for (int colour = 0; colour < Colours; ++colour)
    for (int dy = 0; dy < Factor; ++dy) {
      const Sample* samples = frame + (static_cast<std::ptrdiff_t>(row) * Factor + dy) * line;
      samples += layout == Layout::kInterleaved ? colour : static_cast<std::ptrdiff_t>(colour) * height * width;
      samples += static_cast<std::ptrdiff_t>(column) * Factor * kStep;
      for (int dx = 0; dx < Factor; ++dx, tile += kTile) {
        const Sample* from = samples + dx * kStep;
        if (count >= kTile) {
          for (int x = 0; x < kTile; ++x) tile[x] = static_cast<float>(from[x * (Factor * kStep)]);
        } else {
          for (int x = 0; x < kTile; ++x) tile[x] = x < count ? static_cast<float>(from[x * (Factor * kStep)]) : 0.0f;
        }
      }
    }
}

// Writes `Group` neighbouring output samples per pixel of the tile; `channel[i]` points to sample i in the tile.
template <int Group>
inline void write_samples(const float* const (&channel)[Group], int count, std::uint8_t* to) {
  constexpr int kWords = (Group + 3) / 4;
  alignas(64) std::uint32_t words[kWords][kTile];
#pragma GCC unroll 8
  for (int word = 0; word < kWords; ++word)
    for (int x = 0; x < kTile; x += simd::kWidth) {
      const auto sample = [&](int i) { return simd::load(channel[std::min(4 * word + i, Group - 1)] + x); };
      simd::store(words[word] + x, simd::pack_uint8(sample(0), sample(1), sample(2), sample(3)));
    }
  const auto write = [&](int end) {
    for (int x = 0; x < end; ++x)
#pragma GCC unroll 8
      for (int word = 0; word < kWords; ++word)
        std::memcpy(to + x * Group + 4 * word, &words[word][x], std::min(4, Group - 4 * word));
  };
  if (count >= kTile) write(kTile);
  else write(count);
}

template <int Group>
inline void write_samples(const float* const (&channel)[Group], int count, float* to) {
  const auto write = [&](int end) {
    for (int x = 0; x < end; ++x)
#pragma GCC unroll 8
      for (int i = 0; i < Group; ++i) to[x * Group + i] = channel[i][x];
  };
  if (count >= kTile) write(kTile);
  else write(count);
}

// Writes a tile to the output frame with pixel shuffle by `Factor`: colour c of pixel Factor * x + dx of row Factor *
// row + dy is channel (c, dy, dx) of pixel x. uint8 is rounded to nearest, ties to even, and clamped to 0..255.
template <class Sample, Layout layout, int Factor, int Colours = kRgb>
inline void write_frame(const float* tile, Sample* frame, int height, int width, int row, int column, int count) {
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(height) * width;
  for (int dy = 0; dy < Factor; ++dy) {
    const std::ptrdiff_t line = (static_cast<std::ptrdiff_t>(row) * Factor + dy) * width;
    const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(column) * Factor;
    const auto channel = [&](int colour, int dx) { return tile + ((colour * Factor + dy) * Factor + dx) * kTile; };
    if constexpr (layout == Layout::kInterleaved) {
      const float* samples[Factor * Colours];
      for (int i = 0; i < Factor * Colours; ++i) samples[i] = channel(i % Colours, i / Colours);
      write_samples(samples, count, frame + (line + first) * Colours);
    } else {
      for (int colour = 0; colour < Colours; ++colour) {
        const float* samples[Factor];
        for (int dx = 0; dx < Factor; ++dx) samples[dx] = channel(colour, dx);
        write_samples(samples, count, frame + colour * plane + line + first);
      }
    }
  }
}

// Loads the part of the output frame that `write_frame` will write to the cache, to be modified: the stores then do
// not wait for memory. Worthwhile where the computation of a tile takes less time than that. Compilers that do not
// inline it may take it for a function without effects.
template <class Sample, Layout layout, int Factor, int Colours = kRgb>
__attribute__((always_inline)) inline void prefetch_frame(const Sample* frame, int height, int width, int row,
                                                          int column, int count) {
  constexpr int kStep = layout == Layout::kInterleaved ? Colours : 1, kLine = 64 / sizeof(Sample);
  constexpr int kPlanes = layout == Layout::kInterleaved ? 1 : Colours;
  for (int plane = 0; plane < kPlanes; ++plane)
    for (int dy = 0; dy < Factor; ++dy) {
      const std::ptrdiff_t line = (static_cast<std::ptrdiff_t>(plane) * height + row * Factor + dy) * width;
      const Sample* samples = frame + (line + static_cast<std::ptrdiff_t>(column) * Factor) * kStep;
      for (int x = 0; x < std::min(count, kTile) * Factor * kStep; x += kLine) __builtin_prefetch(samples + x, 1);
    }
}

}  // namespace rows
