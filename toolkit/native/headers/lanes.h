// What a convolution reads: rows of 32-bit lanes, one lane a pixel, holding 1, 2 or 4 channels.
#pragma once
#include <cstdint>

namespace rows {

constexpr int kTile = 2 * simd::kWidth;  // pixels that are computed together: two vectors

// Constants of a convolution. Weights are ordered as they are used: [block of outputs][inputs][ky][kx][output].
template <class Dot>
struct Kernel {
  const typename Dot::Lane* weights;
  const float* bias;           // (outputs)
  const float* scale;          // (outputs): int8 only: what 1 of a sum stands for
  const std::int32_t* offset;  // (outputs): int8 only: what sums begin with
};

// float32: one channel a lane, float32 sums.
struct Float {
  using Lane = float;
  using Sum = simd::Vec;
  static constexpr int kChannels = 1;

  static Sum first(const Kernel<Float>& kernel, int output) { return simd::broadcast(kernel.bias[output]); }
  static Sum dot(Sum sum, simd::Vec x, simd::Vec w) { return simd::fma(x, w, sum); }
  static simd::Vec value(const Kernel<Float>&, int, Sum sum) { return sum; }
};

// bf16: two channels a lane, float32 sums.
struct Bf16 {
  using Lane = std::uint32_t;
  using Sum = simd::Vec;
  static constexpr int kChannels = 2;

  static Sum first(const Kernel<Bf16>& kernel, int output) { return simd::broadcast(kernel.bias[output]); }
  static Sum dot(Sum sum, simd::Lanes x, simd::Lanes w) { return simd::dot_bf16(sum, x, w); }
  static simd::Vec value(const Kernel<Bf16>&, int, Sum sum) { return sum; }
};

// int8: four channels a lane, int32 sums. The instruction wants pixels unsigned, so 128 is added to them; what that adds
// to a sum depends on the weights only, and `offset` takes it off again.
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
