// Convolutions of a tile: kTile neighbouring pixels of one row, all output channels.
//
// A tile is float[channels][kTile]. Sums run over input channels, then ky, then kx, in this order for every pixel and
// every vector width. So the value of a pixel depends neither on the position of its tile nor on the thread or target.
#pragma once
#include "line_buffer.h"

namespace rows {

// `Count` output channels: Count x 2 vectors of sums stay in registers while pixels and weights are loaded. Each loaded
// vector of pixels is used Count times, and each broadcast weight twice.
template <class Dot, int Planes, int KY, int KX, int Count>
inline void convolve_block(const Window<typename Dot::Lane, KY>& in, const Kernel<Dot>& kernel, const int output,
                           const bool prefetch, const typename Dot::Lane* weights, float* tile) {
  typename Dot::Sum sum[Count][2];
#pragma GCC unroll 16
  for (int i = 0; i < Count; ++i) sum[i][0] = sum[i][1] = Dot::first(kernel, output + i);
  for (int plane = 0; plane < Planes; ++plane) {
    for (int ky = 0; ky < KY; ++ky) {
      const typename Dot::Lane* pixels = in.row[ky] + plane * in.plane;
      if (prefetch) {  // what the next tile reads first
        __builtin_prefetch(pixels + kTile + simd::kWidth);
        __builtin_prefetch(pixels + 2 * kTile);
      }
#pragma GCC unroll 8
      for (int kx = 0; kx < KX; ++kx) {
        const auto left = simd::load(pixels + kx);
        const auto right = simd::load(pixels + kx + simd::kWidth);
#pragma GCC unroll 16
        for (int i = 0; i < Count; ++i) {
          const auto weight = simd::broadcast(weights[i]);
          sum[i][0] = Dot::dot(sum[i][0], left, weight);
          sum[i][1] = Dot::dot(sum[i][1], right, weight);
        }
        weights += Count;
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Count; ++i) {
    simd::store(tile + i * kTile, Dot::value(kernel, output + i, sum[i][0]));
    simd::store(tile + i * kTile + simd::kWidth, Dot::value(kernel, output + i, sum[i][1]));
  }
}

// Dense convolution, stride 1. `Counts`: number of output channels of each register tile.
template <class Dot, int Inputs, int KY, int KX, int... Counts>
inline void convolve(const Window<typename Dot::Lane, KY>& in, const Kernel<Dot>& kernel, float* tile) {
  constexpr int kPlanes = (Inputs + Dot::kChannels - 1) / Dot::kChannels;
  const typename Dot::Lane* weights = kernel.weights;
  int output = 0;
  ((convolve_block<Dot, kPlanes, KY, KX, Counts>(in, kernel, output, output == 0, weights, tile + output * kTile),
    output += Counts, weights += kPlanes * KY * KX * Counts),
   ...);
}

// Depthwise convolution, stride 1. Weights [channel][ky][kx].
template <int Channels, int KY, int KX>
inline void convolve_depthwise(const Window<float, KY>& in, const Kernel<Float>& kernel, float* tile) {
  const float* weights = kernel.weights;
  for (int channel = 0; channel < Channels; ++channel, tile += kTile) {
    simd::Vec left = simd::broadcast(kernel.bias[channel]), right = left;
    for (int ky = 0; ky < KY; ++ky) {
      const float* pixels = in.row[ky] + channel * in.plane;
      for (int kx = 0; kx < KX; ++kx) {
        const simd::Vec weight = simd::broadcast(*weights++);
        left = simd::fma(simd::load(pixels + kx), weight, left);
        right = simd::fma(simd::load(pixels + kx + simd::kWidth), weight, right);
      }
    }
    simd::store(tile, left);
    simd::store(tile + simd::kWidth, right);
  }
}

// Depthwise convolution with a stride: output pixel x reads columns Stride * x + kx.
template <int Channels, int KY, int KX, int Stride>
inline void convolve_depthwise_strided(const Window<float, KY>& in, const Kernel<Float>& kernel, float* tile) {
  const float* weights = kernel.weights;
  for (int channel = 0; channel < Channels; ++channel, tile += kTile) {
    simd::Vec left = simd::broadcast(kernel.bias[channel]), right = left;
    for (int ky = 0; ky < KY; ++ky) {
      const float* pixels = in.row[ky] + channel * in.plane;
      for (int kx = 0; kx < KX; ++kx) {
        alignas(64) float taken[kTile];
        for (int x = 0; x < kTile; ++x) taken[x] = pixels[Stride * x + kx];
        const simd::Vec weight = simd::broadcast(*weights++);
        left = simd::fma(simd::load(taken), weight, left);
        right = simd::fma(simd::load(taken + simd::kWidth), weight, right);
      }
    }
    simd::store(tile, left);
    simd::store(tile + simd::kWidth, right);
  }
}

}  // namespace rows
