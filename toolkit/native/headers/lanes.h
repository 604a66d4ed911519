// Arithmetic of convolutions on 32-bit lanes, one lane per pixel, with 1, 2 or 4 channels in each lane.
#pragma once
#include <cstdint>

namespace rows {

constexpr int kTile = 2 * simd::kWidth;  // pixels that are computed together: two vectors

// Constants of a convolution. Weights are in order of use: [register tile][input lane][ky][kx][output channel].
template <class Dot>
struct Kernel {
  const typename Dot::Lane* weights;
  const float* bias;           // (outputs)
  const float* scale;          // (outputs), int8 only: real value of 1 in the integer sum
  const std::int32_t* offset;  // (outputs), int8 only: initial value of the integer sum
};

// float32: one channel per lane, float32 sums.
struct Float {
  using Lane = float;
  using Sum = simd::Vec;
  static constexpr int kChannels = 1;

  static Sum first(const Kernel<Float>& kernel, int output) { return simd::broadcast(kernel.bias[output]); }
  static Sum dot(Sum sum, simd::Vec x, simd::Vec w) { return simd::fma(x, w, sum); }
  static simd::Vec value(const Kernel<Float>&, int, Sum sum) { return sum; }
};

// bf16: two channels per lane, float32 sums.
struct Bf16 {
  using Lane = std::uint32_t;
  using Sum = simd::Vec;
  static constexpr int kChannels = 2;

  static Sum first(const Kernel<Bf16>& kernel, int output) { return simd::broadcast(kernel.bias[output]); }
  static Sum dot(Sum sum, simd::Lanes x, simd::Lanes w) { return simd::dot_bf16(sum, x, w); }
  static simd::Vec value(const Kernel<Bf16>&, int, Sum sum) { return sum; }
};

// int8: four channels per lane, int32 sums. The instruction multiplies unsigned by signed bytes, so pixels are stored
// with 128 added. This adds 128 * (sum of the weights) to the result, which `offset` subtracts.
struct Int8 {
  using Lane = std::uint32_t;
  using Sum = simd::Lanes;
  static constexpr int kChannels = 4;

  static Sum first(const Kernel<Int8>& kernel, int output) {
    return simd::broadcast(static_cast<std::uint32_t>(kernel.offset[output]));
  }
  static Sum dot(Sum sum, simd::Lanes x, simd::Lanes w) { return simd::dot_int8(sum, x, w); }
  static simd::Vec value(const Kernel<Int8>& kernel, int output, Sum sum) {
    return simd::fma(simd::to_float(sum), simd::broadcast(kernel.scale[output]), simd::broadcast(kernel.bias[output]));
  }
};

}  // namespace rows
