// Dense convolutions by tile operations: products of weights (output channels x taps) and pixels (taps x pixels).
//
// The lanes of a line buffer hold the 2 or 4 channels of a pixel that the operations multiply at once, so a vector of
// neighbouring pixels is a row of the second matrix. The taps are all of [input lane][ky][kx], divided into groups of
// kLanes without regard to channels and kernel rows: of 12 lanes and 3x3 taps, 7 groups instead of 9.
//
// Taps beside the centre begin at columns that are not multiples of 64 bytes, and a tile row that crosses a cache line
// costs two to four times as much. So the rows of a tile of pixels are first copied, with vector loads and stores, to a
// panel that stays in the innermost cache. Three shifted copies of each row in the line buffers would be stored once
// instead of three times, but then every line of a panel comes from the second-level cache, three times as many bytes.
// Rows in which the lanes of a vector are pixels far apart, so that a neighbour is in the next vector, need no copies
// at all, but the layers around would have to use that order too, and the width would have to be a multiple of 16.
//
// The first group of taps of all pixels of a tile is added to zero, then the next to that sum, and at the end the bias.
// So the value of a pixel depends neither on the position of its tile nor on the thread.
#pragma once
#include <algorithm>
#include <type_traits>

#include "line_buffer.h"

namespace rows {

// The convolution of one row of a stage, tile by tile. Tile registers are configured until it is destroyed.
template <class Dot, int Inputs, int Outputs, int KY, int KX>
class TileConvolution {
 public:
  // `in`: from the first tap of the row's first pixel on.
  explicit TileConvolution(const Window<std::uint32_t, KY>& in) : scope_(shapes()) {
    const std::uint32_t** tap = taps_;
    for (int plane = 0; plane < kPlanes; ++plane)
      for (int ky = 0; ky < KY; ++ky)
        for (int kx = 0; kx < KX; ++kx) *tap++ = in.row[ky] + plane * in.plane + kx;
    // Lanes beyond the last tap have zero weights, but zero times what happens to be in memory need not be zero.
    for (auto& pixels : panel_) std::fill(pixels + kTaps * simd::kWidth, pixels + kPanel, 0u);
    for (int group = 0; group < kGroups; ++group) gather(group);
  }

  // All output channels of the next kTile pixels, after an operation on each value.
  template <class Operation>
  void compute(const Kernel<Dot>& kernel, float* tile, Operation operation) {
    column_ += kTile;
    multiply<0>(kernel, tile, operation);
  }
  void compute(const Kernel<Dot>& kernel, float* tile) {
    compute(kernel, tile, [](simd::Vec sum) { return sum; });
  }

 private:
  static constexpr int kPlanes = (Inputs + Dot::kChannels - 1) / Dot::kChannels;
  static constexpr int kTaps = kPlanes * KY * KX;
  static constexpr int kGroups = (kTaps + tiles::kLanes - 1) / tiles::kLanes;
  static constexpr int kBlocks = (Outputs + tiles::kRows - 1) / tiles::kRows;
  static constexpr int kBlock = (Outputs + kBlocks - 1) / kBlocks;       // output channels
  static constexpr int kPanel = kGroups * tiles::kLanes * simd::kWidth;  // lanes
  static constexpr int kRowBytes = simd::kWidth * 4;
  using Value = std::conditional_t<std::is_same_v<Dot, Int8>, std::uint32_t, float>;

  // Registers: sums of two blocks of output channels times two vectors of pixels; weights of two blocks; two vectors.
  enum : int { kSums = 0, kWeights = 4, kPixels = 6 };

  static tiles::Configuration shapes() {
    tiles::Configuration made;
    made.palette = 1;
    for (int tile = 0; tile < tiles::kRegisters; ++tile) {
      made.rows[tile] = tile < kPixels ? kBlock : tiles::kLanes;
      made.bytes[tile] = tile == kWeights || tile == kWeights + 1 ? tiles::kLanes * 4 : kRowBytes;
    }
    return made;
  }

  // Copies the pixels from `column_` on that each tap of a group reads to a row of the panel.
  void gather(int group) {
    const int first = group * tiles::kLanes, last = std::min(first + tiles::kLanes, kTaps);
    const std::ptrdiff_t column = column_;
#pragma GCC unroll 4
    for (int tap = first; tap < last; ++tap) {
      const std::uint32_t* pixels = taps_[tap] + column;
      simd::store(panel_[0] + tap * simd::kWidth, simd::load(pixels));
      simd::store(panel_[1] + tap * simd::kWidth, simd::load(pixels + simd::kWidth));
    }
  }

  // Output channels of block `First` and the following ones, two blocks at a time.
  template <int First, class Operation>
  void multiply(const Kernel<Dot>& kernel, float* tile, Operation operation) {
    constexpr int kCount = std::min(2, kBlocks - First);
    const std::uint32_t* weights = kernel.weights + First * kGroups * kBlock * tiles::kLanes;
    start<kCount>();
    for (int group = 0; group < kGroups; ++group, weights += kCount * kBlock * tiles::kLanes) {
      add<kCount>(weights, group);
      // The next tile's pixels replace those that were used for the last time, while the products are computed.
      if constexpr (First + kCount == kBlocks) gather(group);
    }
    alignas(64) Value sums[kCount * kBlock * kTile];
    store<kCount>(sums);
    constexpr int kFirst = First * kBlock, kLast = std::min(kFirst + kCount * kBlock, Outputs);
#pragma GCC unroll 2
    for (int output = kFirst; output < kLast; ++output)
      for (int x = 0; x < kTile; x += simd::kWidth) {
        const simd::Vec sum = finished(kernel, output, sums + (output - kFirst) * kTile + x);
        simd::store(tile + output * kTile + x, operation(sum));
      }
    if constexpr (First + kCount < kBlocks) multiply<First + kCount>(kernel, tile, operation);
  }

  template <int Count>
  static void start() {
    tiles::zero<kSums>();
    tiles::zero<kSums + 1>();
    if constexpr (Count == 2) tiles::zero<kSums + 2>(), tiles::zero<kSums + 3>();
  }

  // One group of taps. Each loaded tile is used twice.
  template <int Count>
  void add(const std::uint32_t* weights, int group) {
    const int first = group * tiles::kLanes * simd::kWidth;
    tiles::load<kWeights>(weights, tiles::kLanes * 4);
    tiles::load<kPixels>(panel_[0] + first, kRowBytes);
    dot<kSums, kWeights, kPixels>();
    tiles::load<kPixels + 1>(panel_[1] + first, kRowBytes);
    dot<kSums + 1, kWeights, kPixels + 1>();
    if constexpr (Count == 2) {
      tiles::load<kWeights + 1>(weights + kBlock * tiles::kLanes, tiles::kLanes * 4);
      dot<kSums + 2, kWeights + 1, kPixels>();
      dot<kSums + 3, kWeights + 1, kPixels + 1>();
    }
  }

  template <int Sum, int A, int B>
  static void dot() {
    if constexpr (std::is_same_v<Dot, Int8>) tiles::dot_int8<Sum, A, B>();
    else tiles::dot_bf16<Sum, A, B>();
  }

  template <int Count>
  static void store(Value* sums) {
    tiles::store<kSums>(sums, kTile * 4);
    tiles::store<kSums + 1>(sums + simd::kWidth, kTile * 4);
    if constexpr (Count == 2) {
      tiles::store<kSums + 2>(sums + kBlock * kTile, kTile * 4);
      tiles::store<kSums + 3>(sums + kBlock * kTile + simd::kWidth, kTile * 4);
    }
  }

  // Registers would have to be loaded with the bias or offset; adding it here takes less time.
  static simd::Vec finished(const Kernel<Bf16>& kernel, int output, const float* sum) {
    return simd::add(simd::load(sum), simd::broadcast(kernel.bias[output]));
  }
  static simd::Vec finished(const Kernel<Int8>& kernel, int output, const std::uint32_t* sum) {
    return Int8::value(kernel, output, simd::add(simd::load(sum), Int8::first(kernel, output)));
  }

  tiles::Scope scope_;
  std::ptrdiff_t column_ = 0;
  const std::uint32_t* taps_[kTaps];  // what each tap reads of the row's first pixel
  alignas(64) std::uint32_t panel_[2][kPanel];
};

}  // namespace rows
