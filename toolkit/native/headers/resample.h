// Copies and resamples rows of line buffers to tiles.
#pragma once
#include "line_buffer.h"

namespace rows {

template <int Channels>
inline void copy(const Window<float, 1>& in, float* tile) {
  const float* pixels = in.row[0];
  for (int channel = 0; channel < Channels; ++channel, tile += kTile, pixels += in.plane)
    for (int x = 0; x < kTile; x += simd::kWidth) simd::store(tile + x, simd::load(pixels + x));
}

// Pixel unshuffle: channel (c, dy, dx) of pixel x is channel c of pixel Factor * x + dx of row dy.
template <int Channels, int Factor>
inline void unshuffle(const Window<float, Factor>& in, float* tile) {
  for (int channel = 0; channel < Channels; ++channel)
    for (int dy = 0; dy < Factor; ++dy)
      for (int dx = 0; dx < Factor; ++dx, tile += kTile) {
        const float* pixels = in.row[dy] + channel * in.plane + dx;
        for (int x = 0; x < kTile; ++x) tile[x] = pixels[Factor * x];
      }
}

// Pixel shuffle: channel c of pixel x of row y is channel (c, y % Factor, x % Factor) of pixel x / Factor of row y /
// Factor. `dy`: y % Factor. `phase`: x % Factor of the tile's first column.
template <int Channels, int Factor>
inline void shuffle(const Window<float, 1>& in, int dy, int phase, float* tile) {
  for (int channel = 0; channel < Channels; ++channel, tile += kTile) {
    const float* pixels = in.row[0] + (channel * Factor + dy) * Factor * in.plane;
    for (int x = 0; x < kTile; ++x) tile[x] = pixels[(phase + x) % Factor * in.plane + (phase + x) / Factor];
  }
}

// Nearest upsampling. `phase`: position of the tile's first column within the `Factor` copies of a pixel.
template <int Channels, int Factor>
inline void repeat_pixels(const Window<float, 1>& in, int phase, float* tile) {
  const float* pixels = in.row[0];
  for (int channel = 0; channel < Channels; ++channel, tile += kTile, pixels += in.plane)
    for (int x = 0; x < kTile; ++x) tile[x] = pixels[(phase + x) / Factor];
}

}  // namespace rows
