// Operations on a tile float[channels][kTile] between its computation and its storage: activations, norms, sums.
#pragma once
#include "exponential.h"
#include "line_buffer.h"

namespace rows {

template <int Channels, class Operation>
inline void map(float* tile, Operation operation) {
#pragma GCC unroll 4
  for (int i = 0; i < Channels * kTile; i += simd::kWidth) simd::store(tile + i, operation(simd::load(tile + i)));
}

// GELU(x) = x Phi(x) = max(x, 0) - |x| Phi(-|x|). The second term matters for small a = |x| only: Phi(-a) vanishes
// beyond kGeluLimit. Phi(-a)^(1/8) is so smooth that a polynomial of low degree approximates it (weighted least squares
// on Chebyshev nodes, 0..5.4); three squarings give the eighth power. Largest error 2.5e-7 for the exact Phi, 4e-7 for
// that of the tanh form.
constexpr float kGeluLimit = 5.4f;
constexpr float kErfGelu[] = {0x1.d581b4p-1f,  -0x1.76ab6ep-4f,  -0x1.050cd0p-5f,  -0x1.9f865cp-11f,
                              0x1.ab65fep-10f, -0x1.4ef7aap-15f, -0x1.2b68bap-15f, 0x1.b2a452p-19f};
constexpr float kTanhGelu[] = {0x1.d581dcp-1f,  -0x1.76ba74p-4f, -0x1.04a482p-5f,  -0x1.92dd2ap-11f, 0x1.ac8f58p-10f,
                               0x1.98013ep-14f, -0x1.75470p-13f, 0x1.5f7352p-15f, -0x1.b5eeeap-19f};
// For results that are rounded to bf16: a lower degree, largest error 5.5e-5.
constexpr float kCoarseErfGelu[] = {0x1.d55ac8p-1f, -0x1.6e533ap-4f, -0x1.279a9cp-5f, 0x1.6275c4p-9f, 0x1.092afcp-11f};

template <int Terms>
inline simd::Vec gelu_of(simd::Vec x, const float (&coefficients)[Terms]) {
  const simd::Vec a = simd::min(simd::abs(x), simd::broadcast(kGeluLimit));
  simd::Vec power = simd::broadcast(coefficients[Terms - 1]);
#pragma GCC unroll 16
  for (int i = Terms - 2; i >= 0; --i) power = simd::fma(power, a, simd::broadcast(coefficients[i]));
  power = simd::mul(power, power);
  power = simd::mul(power, power);
  power = simd::mul(power, power);
  return simd::sub(simd::max(x, simd::zero()), simd::mul(a, power));
}

template <int Channels, int Terms>
inline void gelu(float* tile, const float (&coefficients)[Terms]) {
  map<Channels>(tile, [&](simd::Vec x) { return gelu_of(x, coefficients); });
}

template <int Channels>
inline void relu(float* tile) {
  map<Channels>(tile, [](simd::Vec x) { return simd::max(x, simd::zero()); });
}

template <int Channels>
inline void leaky_relu(float* tile, float slope) {
  map<Channels>(tile, [=](simd::Vec x) {
    return simd::fma(simd::min(x, simd::zero()), simd::broadcast(slope), simd::max(x, simd::zero()));
  });
}

// 1 / (1 + exp(-x))
template <int Channels>
inline void sigmoid(float* tile) {
  map<Channels>(tile, [](simd::Vec x) {
    const simd::Vec one = simd::broadcast(1.0f);
    return simd::div(one, simd::add(one, exponential(simd::sub(simd::zero(), x))));
  });
}

// x * sigmoid(x), also called swish
template <int Channels>
inline void silu(float* tile) {
  map<Channels>(tile, [](simd::Vec x) {
    return simd::div(x, simd::add(simd::broadcast(1.0f), exponential(simd::sub(simd::zero(), x))));
  });
}

template <int Channels>
inline void tanh(float* tile) {
  map<Channels>(tile, [](simd::Vec x) { return hyperbolic_tangent(x); });
}

// Leaky ReLU with a slope per channel.
template <int Channels>
inline void prelu(float* tile, const float* slope) {
  for (int channel = 0; channel < Channels; ++channel, tile += kTile) {
    const simd::Vec s = simd::broadcast(slope[channel]);
    for (int x = 0; x < kTile; x += simd::kWidth) {
      const simd::Vec value = simd::load(tile + x);
      simd::store(tile + x, simd::fma(simd::min(value, simd::zero()), s, simd::max(value, simd::zero())));
    }
  }
}

template <int Channels>
inline void clip(float* tile, float low, float high) {
  const simd::Vec lowest = simd::broadcast(low), highest = simd::broadcast(high);
  map<Channels>(tile, [=](simd::Vec x) { return simd::min(simd::max(x, lowest), highest); });
}

// Rounds to integer quantisation steps in -128..127, kept as floats. `steps`: number of steps in 1.0.
template <int Channels>
inline void quantise(float* tile, float steps) {
  map<Channels>(tile, [=](simd::Vec x) {
    const simd::Vec scaled = simd::round(simd::mul(x, simd::broadcast(steps)));
    return simd::min(simd::max(scaled, simd::broadcast(-128.0f)), simd::broadcast(127.0f));
  });
}

// tile * scale + shift, per channel.
template <int Channels>
inline void affine(float* tile, const float* scale, const float* shift) {
  for (int channel = 0; channel < Channels; ++channel, tile += kTile) {
    const simd::Vec s = simd::broadcast(scale[channel]), t = simd::broadcast(shift[channel]);
    simd::store(tile, simd::fma(simd::load(tile), s, t));
    simd::store(tile + simd::kWidth, simd::fma(simd::load(tile + simd::kWidth), s, t));
  }
}

// tile = tile * row: a gate.
template <int Channels>
inline void multiply(float* tile, const Window<float, 1>& row) {
  const float* pixels = row.row[0];
  for (int channel = 0; channel < Channels; ++channel, tile += kTile, pixels += row.plane)
    for (int x = 0; x < kTile; x += simd::kWidth)
      simd::store(tile + x, simd::mul(simd::load(tile + x), simd::load(pixels + x)));
}

// As `combine`, with channel `channels[i]` of the row for channel i of the tile.
template <int Channels>
inline void combine_channels(float* tile, float a, const Window<float, 1>& row, float b, const int* channels) {
  for (int channel = 0; channel < Channels; ++channel, tile += kTile) {
    const float* pixels = row.row[0] + channels[channel] * row.plane;
    for (int x = 0; x < kTile; x += simd::kWidth) {
      const simd::Vec other = simd::mul(simd::load(pixels + x), simd::broadcast(b));
      simd::store(tile + x, simd::fma(simd::load(tile + x), simd::broadcast(a), other));
    }
  }
}

// tile = tile * a + row * b, where a and b are 1 or -1.
template <int Channels>
inline void combine(float* tile, float a, const Window<float, 1>& row, float b) {
  const float* pixels = row.row[0];
  for (int channel = 0; channel < Channels; ++channel, tile += kTile, pixels += row.plane) {
    for (int x = 0; x < kTile; x += simd::kWidth) {
      const simd::Vec other = simd::mul(simd::load(pixels + x), simd::broadcast(b));
      simd::store(tile + x, simd::fma(simd::load(tile + x), simd::broadcast(a), other));
    }
  }
}

// Sum over the channels of each pixel, in four independent partial sums: it shortens the dependency chain, and the
// order of additions is the same on all targets.
template <int Channels, class Term>
inline simd::Vec sum_over_channels(Term term) {
  simd::Vec strand[4] = {simd::zero(), simd::zero(), simd::zero(), simd::zero()};
#pragma GCC unroll 64
  for (int channel = 0; channel < Channels; ++channel) strand[channel % 4] = term(channel, strand[channel % 4]);
  return simd::add(simd::add(strand[0], strand[1]), simd::add(strand[2], strand[3]));
}

// Layer norm over the channels of each pixel: (x - mean) / sqrt(variance + epsilon) * scale + shift. Without `Centre`
// the mean is not subtracted; without `Scaled` the scale is 1.
template <int Channels, bool Centre, bool Scaled>
inline void normalise(float* tile, float epsilon, const float* scale, const float* shift) {
  const simd::Vec share = simd::broadcast(1.0f / Channels);
  for (int x = 0; x < kTile; x += simd::kWidth) {
    float* pixels = tile + x;
    simd::Vec mean = simd::zero();
    if (Centre)
      mean = simd::mul(share, sum_over_channels<Channels>([&](int channel, simd::Vec sum) {
                         return simd::add(sum, simd::load(pixels + channel * kTile));
                       }));
    const simd::Vec square = sum_over_channels<Channels>([&](int channel, simd::Vec sum) {
      const simd::Vec centred = simd::sub(simd::load(pixels + channel * kTile), mean);
      return simd::fma(centred, centred, sum);
    });
    const simd::Vec deviation = simd::sqrt(simd::fma(square, share, simd::broadcast(epsilon)));
    const simd::Vec inverse = simd::div(simd::broadcast(1.0f), deviation);
#pragma GCC unroll 8
    for (int channel = 0; channel < Channels; ++channel) {
      float* value = pixels + channel * kTile;
      const simd::Vec factor = Scaled ? simd::mul(inverse, simd::broadcast(scale[channel])) : inverse;
      simd::store(value, simd::fma(simd::sub(simd::load(value), mean), factor, simd::broadcast(shift[channel])));
    }
  }
}

// Stores a tile in a row of a line buffer. `to`: the row at the tile's first column.
template <int Channels>
inline void store_float(const float* tile, float* to, std::ptrdiff_t plane) {
  for (int channel = 0; channel < Channels; ++channel, tile += kTile, to += plane) {
    simd::store(to, simd::load(tile));
    simd::store(to + simd::kWidth, simd::load(tile + simd::kWidth));
  }
}

// A channel of a tile; zeros beyond the last one.
template <int Channels>
inline simd::Vec channel_or_zero(const float* tile, int channel, int x) {
  return channel < Channels ? simd::load(tile + channel * kTile + x) : simd::zero();
}

template <int Channels>
inline void store_bf16(const float* tile, std::uint32_t* to, std::ptrdiff_t plane) {
  for (int channel = 0; channel < Channels; channel += 2, to += plane)
    for (int x = 0; x < kTile; x += simd::kWidth)
      simd::store(to + x, simd::pack_bf16(simd::load(tile + channel * kTile + x),
                                          channel_or_zero<Channels>(tile, channel + 1, x)));
}

// `steps`: number of quantisation steps in 1.0.
template <int Channels>
inline void store_int8(const float* tile, std::uint32_t* to, std::ptrdiff_t plane, float steps) {
  const simd::Vec factor = simd::broadcast(steps);
  for (int channel = 0; channel < Channels; channel += 4, to += plane)
    for (int x = 0; x < kTile; x += simd::kWidth) {
      const auto scaled = [&](int i) {
        return simd::mul(channel_or_zero<Channels>(tile, channel + i, x), factor);
      };
      simd::store(to + x, simd::pack_int8(scaled(0), scaled(1), scaled(2), scaled(3)));
    }
}

}  // namespace rows
