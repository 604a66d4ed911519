// Convolutions with 3x3 taps in float32 by Winograd's minimal filtering F(2x2, 3x3): 4 multiplications per pixel, input
// and output channel instead of 9 (A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016).
//
// Two rows are computed at once, in blocks of 2x2 pixels. With d the 4x4 input pixels around a block, G g G^T the
// kernel (transformed by `winograd.py`), and `*` the elementwise product, a block is
//
//     A^T [ sum over input channels of (G g G^T) * (B^T d B) ] A
//
//     B^T = 1  0 -1  0      A^T = 1  1  1  0
//           0  1  1  0            0  1 -1 -1
//           0 -1  1  0
//           0  1  0 -1
//
// A vector holds the same pixel of neighbouring blocks, in the order of `simd::split`. Blocks begin at even columns of
// the image, and at even rows or (`StagePlan::phase`) at odd ones, and sums have a fixed order. So the value of a pixel
// depends neither on the position of its tile nor on the thread or target.
#pragma once
#include "convolution.h"

namespace rows {

// Floats between positions of transformed pixels: an odd number of cache lines, or the same channel of all 16 positions
// would fall into the same few sets of the cache.
constexpr int position_floats(int inputs) { return ((inputs * kTile + 15) / 16 | 1) * 16; }

// Floats that `winograd` needs for transformed pixels.
constexpr int winograd_floats(int inputs) { return 16 * position_floats(inputs); }

// B^T d B of kTile neighbouring blocks, as [row][column][input channel][kTile]. The window begins one row above and one
// column before the first block.
template <int Inputs>
inline void transform_pixels(const Window<float, 4>& in, float* transformed) {
  constexpr int kPosition = position_floats(Inputs);
  for (int channel = 0; channel < Inputs; ++channel) {
    for (int x = 0; x < kTile; x += simd::kWidth, transformed += simd::kWidth) {
      simd::Vec d[4][4];
#pragma GCC unroll 4
      for (int y = 0; y < 4; ++y) {
        const float* pixels = in.row[y] + channel * in.plane + 2 * x;
        simd::Vec d0, d1, d2, d3;
        simd::split(simd::load(pixels), simd::load(pixels + simd::kWidth), d0, d1);
        simd::split(simd::load(pixels + 2), simd::load(pixels + 2 + simd::kWidth), d2, d3);
        d[y][0] = simd::sub(d0, d2), d[y][1] = simd::add(d1, d2);
        d[y][2] = simd::sub(d2, d1), d[y][3] = simd::sub(d1, d3);
      }
#pragma GCC unroll 4
      for (int column = 0; column < 4; ++column) {
        float* const to = transformed + column * kPosition;
        simd::store(to, simd::sub(d[0][column], d[2][column]));
        simd::store(to + 4 * kPosition, simd::add(d[1][column], d[2][column]));
        simd::store(to + 8 * kPosition, simd::sub(d[2][column], d[1][column]));
        simd::store(to + 12 * kPosition, simd::sub(d[1][column], d[3][column]));
      }
    }
  }
}

// A^T m A of one output channel, m being products with `position` floats between positions; stored in two rows.
inline void store_blocks(const float* products, int position, float bias, float* upper, float* lower) {
  for (int x = 0; x < kTile; x += simd::kWidth, products += simd::kWidth) {
    simd::Vec left[4], right[4];
#pragma GCC unroll 4
    for (int y = 0; y < 4; ++y) {
      const auto m = [&](int column) { return simd::load(products + (4 * y + column) * position); };
      left[y] = simd::add(simd::add(m(0), m(1)), m(2));
      right[y] = simd::sub(simd::sub(m(1), m(2)), m(3));
    }
    const simd::Vec first = simd::broadcast(bias);
    const auto above = [&](const simd::Vec* s) { return simd::add(simd::add(simd::add(first, s[0]), s[1]), s[2]); };
    const auto below = [&](const simd::Vec* s) { return simd::sub(simd::sub(simd::add(first, s[1]), s[2]), s[3]); };
    const auto store = [&](float* row, simd::Vec l, simd::Vec r) {
      simd::Vec a, b;
      simd::join(l, r, a, b);
      simd::store(row + 2 * x, a);
      simd::store(row + 2 * x + simd::kWidth, b);
    };
    store(upper, above(left), above(right));
    store(lower, below(left), below(right));
  }
}

// Prefetches what the next call reads, in equal shares while this one multiplies: rows of many planes are too many
// streams for the hardware.
template <int Inputs, int Shares>
class NextPixels {
 public:
  explicit NextPixels(const Window<float, 4>& in) : in_(in) {}

  void share() {
    for (int end = std::min(4 * Inputs, line_ + (4 * Inputs + Shares - 1) / Shares); line_ < end; ++line_) {
      const float* pixels = in_.row[line_ % 4] + line_ / 4 * in_.plane + 2 * kTile;
      for (int x = 16; x <= 2 * kTile; x += 16) __builtin_prefetch(pixels + x + 1);  // the first line is there already
    }
  }

 private:
  const Window<float, 4>& in_;
  int line_ = 0;
};

// `Count` output channels: at each of the 16 positions, a 1x1 convolution of the transformed pixels.
template <int Inputs, int Count, class Next>
inline void winograd_block(const float* transformed, const float* weights, const float* bias, float* upper,
                           float* lower, std::ptrdiff_t plane, Next& next) {
  constexpr int kPosition = Count * kTile;
  constexpr float kNoBias[Count] = {};
  alignas(64) float products[16 * kPosition];
  for (int position = 0; position < 16; ++position, transformed += position_floats(Inputs), weights += Inputs * Count) {
    next.share();
    convolve_block<Float, Inputs, 1, 1, Count>({{transformed}, kTile}, {weights, kNoBias, nullptr, nullptr}, 0, false,
                                               weights, products + position * kPosition);
  }
  for (int i = 0; i < Count; ++i)
    store_blocks(products + i * kTile, kPosition, bias[i], upper + i * plane, lower + i * plane);
}

// 2 * kTile pixels of two rows of a convolution. The window begins one row above and one column before them. `Counts`:
// number of output channels of each register tile. `transformed`: room for `winograd_floats(Inputs)`, aligned to 64.
// `upper`, `lower`: the rows of the line buffer at the first column, `plane` between its planes.
template <int Inputs, int... Counts>
inline void winograd(const Window<float, 4>& in, const Kernel<Float>& kernel, float* transformed, float* upper,
                     float* lower, std::ptrdiff_t plane) {
  transform_pixels<Inputs>(in, transformed);
  const float *weights = kernel.weights, *bias = kernel.bias;
  NextPixels<Inputs, 16 * sizeof...(Counts)> next(in);
  ((winograd_block<Inputs, Counts>(transformed, weights, bias, upper, lower, plane, next),
    weights += 16 * Inputs * Counts, bias += Counts, upper += Counts * plane, lower += Counts * plane),
   ...);
}

}  // namespace rows
