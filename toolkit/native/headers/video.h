// Video frames in the caller's memory: luma, and chroma at half its height and width (4:2:0).
//
// A tile of the input is converted to RGB where the network reads it, and a tile of the output to luma and chroma where
// the network writes it; no frame of RGB exists. Chroma is interpolated and reduced by the cubic filters of FFmpeg, in
// float32, with the edges of the picture repeated. RGB is limited to black..white in both directions.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "ends.h"
#include "line_buffer.h"
#include "yuv420.h"

namespace rows {

// Black and white in the frames of a network, and whether their channels are blue, green, red.
struct Colours {
  float black, span;
  bool reversed;

  int channel(int colour) const { return reversed ? kRgb - 1 - colour : colour; }
};

// Keys's cubic kernel, with the parameter that FFmpeg uses.
inline double cubic(double distance) {
  constexpr double a = -0.6;
  const double x = std::fabs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? a * (((x - 5) * x + 8) * x - 4) : 0;
}

constexpr int kUp = 4, kDown = 8;  // taps
constexpr int kBefore = 3;         // luma sample 2 k - kBefore is the first that chroma sample k is made from

// Filters along rows or columns.
struct ChromaAxis {
  int first[2];         // luma sample 2 k + i is made from chroma samples k + first[i] on
  float up[2][kUp];     // with these weights
  float down[kDown];

  // `offset`: of chroma sample k from luma sample 2 k, in luma samples.
  explicit ChromaAxis(double offset) {
    for (int i = 0; i < 2; ++i) {
      const double place = (i - offset) / 2;
      first[i] = static_cast<int>(std::floor(place)) - 1;
      for (int tap = 0; tap < kUp; ++tap) up[i][tap] = static_cast<float>(cubic(place - (first[i] + tap)));
    }
    double weights[kDown], sum = 0;
    for (int tap = 0; tap < kDown; ++tap) sum += weights[tap] = cubic((tap - kBefore - offset) / 2);
    for (int tap = 0; tap < kDown; ++tap) down[tap] = static_cast<float>(weights[tap] / sum);
  }
};

// A frame and its conversion. Luma is 0..1, chroma -0.5..0.5 before it becomes samples.
struct Video {
  rt4ksr_yuv420 frame;
  ChromaAxis rows, columns;
  float red, green, blue;  // weights in luma
  float cr_of_red, cb_of_blue, cb_of_green, cr_of_green;
  float luma_black, luma_span, middle, chroma_span, largest;

  static constexpr int kMatrices = 10, kLocations = 6;

  static bool known(const rt4ksr_yuv420& frame) {
    const bool colour = frame.matrix >= 0 && frame.matrix < kMatrices && weights(frame.matrix)[0] > 0;
    const bool place = frame.location >= 0 && frame.location < kLocations;
    return colour && place && frame.bits >= 8 && frame.bits <= 16 && frame.chroma_step >= 1;
  }

  // Only of known frames.
  explicit Video(const rt4ksr_yuv420& given)
      : frame(given), rows(down(given.location)), columns(given.location % 2 ? 0.5 : 0.0) {
    const double r = weights(given.matrix)[0], b = weights(given.matrix)[1], g = 1 - r - b;
    red = static_cast<float>(r), green = static_cast<float>(g), blue = static_cast<float>(b);
    cr_of_red = static_cast<float>(2 * (1 - r)), cb_of_blue = static_cast<float>(2 * (1 - b));
    cb_of_green = static_cast<float>(-2 * (1 - b) * b / g), cr_of_green = static_cast<float>(-2 * (1 - r) * r / g);
    const float unit = static_cast<float>(1 << (given.bits - 8));
    largest = static_cast<float>((1 << given.bits) - 1);
    luma_black = given.full_range ? 0 : 16 * unit, luma_span = given.full_range ? largest : 219 * unit;
    middle = 128 * unit, chroma_span = given.full_range ? largest : 224 * unit;
  }

  bool wide() const { return frame.bits > 8; }

 private:
  // Of red and blue in luma, by matrix coefficients of ITU-T H.273; 0: none, or not a sum of weights.
  static const double* weights(int matrix) {
    static constexpr double kWeights[kMatrices][2] = {{}, {0.2126, 0.0722}, {}, {}, {0.30, 0.11}, {0.299, 0.114},
                                                      {0.299, 0.114}, {0.212, 0.087}, {}, {0.2627, 0.0593}};
    return kWeights[matrix];
  }

  static double down(int location) { return location < 2 ? 0.5 : location < 4 ? 0.0 : 1.0; }
};

// Rows and columns of luma that a band writes; it computes more of them where it needs their chroma.
struct Extent {
  int first_row, last_row, first_column, last_column;
};

// Adds samples first..first+count-1 of a row to sums, times a weight; beyond the edges the last ones are repeated.
template <class Sample>
inline void add_samples(const Sample* row, int step, int width, int first, int count, float weight, float* sums) {
  const int inside = std::min(std::max(-first, 0), count), end = std::max(std::min(width - first, count), inside);
  for (int i = 0; i < inside; ++i) sums[i] += weight * static_cast<float>(row[0]);
  if (step == 1)
    for (int i = inside; i < end; ++i) sums[i] += weight * static_cast<float>(row[first + i]);
  else
    for (int i = inside; i < end; ++i) sums[i] += weight * static_cast<float>(row[(first + i) * step]);
  for (int i = end; i < count; ++i) sums[i] += weight * static_cast<float>(row[(width - 1) * step]);
}

// Chroma of the luma samples (row, first..first+count-1), of which there are height x width, in -0.5..0.5; and of one
// more if `count` is odd.
template <class Sample, int Most>
inline void interpolate(const Video& from, const void* plane, int height, int width, int row, int first, int count,
                        float* chroma) {
  // Samples beyond the first and the last one that the columns are made from are not used.
  constexpr int kSamples = Most / 2 + 8;
  alignas(64) float sums[kSamples] = {};
  const int left = first / 2 - 2, samples = (first + count) / 2 + 3 - left;
  const float* weights = from.rows.up[row % 2];
  for (int tap = 0; tap < kUp; ++tap) {
    const int line = std::min(std::max(row / 2 + from.rows.first[row % 2] + tap, 0), height / 2 - 1);
    const auto* samples_of = reinterpret_cast<const Sample*>(static_cast<const std::uint8_t*>(plane) +
                                                             line * from.frame.chroma_stride);
    if (weights[tap] != 0)
      add_samples(samples_of, from.frame.chroma_step, width / 2, left, samples, weights[tap], sums);
  }
  const float scale = 1 / from.chroma_span;
  const auto column = [&](int i) { return sums + (first + i) / 2 + from.columns.first[(first + i) % 2] - left; };
  const auto value = [&](const float* weight, const float* at) {
    const float sum = weight[0] * at[0] + weight[1] * at[1] + weight[2] * at[2] + weight[3] * at[3];
    return (sum - from.middle) * scale;
  };
  const float *even = from.columns.up[first % 2], *odd = from.columns.up[(first + 1) % 2];
  const float *from_even = column(0), *from_odd = column(1);
  for (int k = 0; k < (count + 1) / 2; ++k) {
    chroma[2 * k] = value(even, from_even + k);
    chroma[2 * k + 1] = value(odd, from_odd + k);
  }
}

// What `read_frame` does, for a video frame.
template <class Sample, int Factor>
inline void read_video_samples(const Video& from, const Colours& port, int height, int width, int row, int column,
                               int count, float* tile) {
  constexpr int kColumns = kTile * Factor;
  const int first = column * Factor, columns = std::min(count, kTile) * Factor;
  const auto limited = [&](float value) { return std::min(std::max(value, 0.0f), 1.0f) * port.span + port.black; };
  const float scale = 1 / from.luma_span;
  for (int dy = 0; dy < Factor; ++dy) {
    const int line = row * Factor + dy;
    alignas(64) float rgb[kRgb][kColumns], cb[kColumns], cr[kColumns];
    interpolate<Sample, kColumns>(from, from.frame.cb, height, width, line, first, columns, cb);
    interpolate<Sample, kColumns>(from, from.frame.cr, height, width, line, first, columns, cr);
    const auto* luma = reinterpret_cast<const Sample*>(static_cast<const std::uint8_t*>(from.frame.luma) +
                                                       line * from.frame.luma_stride) + first;
    float* const red = rgb[port.channel(0)];
    float* const green = rgb[port.channel(1)];
    float* const blue = rgb[port.channel(2)];
    for (int x = 0; x < columns; ++x) {
      const float y = (static_cast<float>(luma[x]) - from.luma_black) * scale;
      red[x] = limited(y + from.cr_of_red * cr[x]);
      green[x] = limited(y + from.cb_of_green * cb[x] + from.cr_of_green * cr[x]);
      blue[x] = limited(y + from.cb_of_blue * cb[x]);
    }
    for (int channel = 0; channel < kRgb; ++channel) {
      std::fill(rgb[channel] + columns, rgb[channel] + kColumns, 0.0f);
      for (int dx = 0; dx < Factor; ++dx) {
        float* to = tile + ((channel * Factor + dy) * Factor + dx) * kTile;
        for (int x = 0; x < kTile; ++x) to[x] = rgb[channel][x * Factor + dx];
      }
    }
  }
}

template <int Factor>
inline void read_video(const Video& from, const Colours& port, int height, int width, int row, int column, int count,
                       float* tile) {
  const auto read = from.wide() ? read_video_samples<std::uint16_t, Factor> : read_video_samples<std::uint8_t, Factor>;
  read(from, port, height, width, row, column, count, tile);
}

// To the nearest integer, ties to even, within 0..largest.
template <class Sample>
inline Sample sample_of(float value, float largest) {
  return static_cast<Sample>(std::nearbyint(std::min(std::max(value, 0.0f), largest)));
}

// Writes luma samples [dx][x] of one row of a tile, as far as they belong to the band.
template <class Sample, int Factor>
inline void write_luma(const float (&luma)[Factor][kTile], const Video& to, const Extent& own, int line, int column,
                       int count) {
  const int first = column * Factor, begin = std::max(own.first_column, first);
  const int end = std::min(own.last_column, first + std::min(count, kTile) * Factor);
  if (line < own.first_row || line >= own.last_row || begin >= end) return;
  Sample samples[kTile * Factor];
  if constexpr (sizeof(Sample) == 1) {
    const float* places[Factor];
    for (int dx = 0; dx < Factor; ++dx) places[dx] = luma[dx];
    write_samples(places, kTile, samples);
  } else {
    for (int dx = 0; dx < Factor; ++dx)
      for (int x = 0; x < kTile; ++x) samples[x * Factor + dx] = sample_of<Sample>(luma[dx][x], to.largest);
  }
  auto* row = reinterpret_cast<Sample*>(static_cast<std::uint8_t*>(to.frame.luma) + line * to.frame.luma_stride);
  std::memcpy(row + begin, samples + (begin - first), static_cast<std::size_t>(end - begin) * sizeof(Sample));
}

// The chroma of a row of the last stage's tensor, reduced to half its width tile by tile. In a row of a line buffer it
// is stored as 2 x Factor rows, (cb or cr, dy), of Factor / 2 samples for each column of the tensor.
template <int Factor>
class ChromaRow {
 public:
  static constexpr int kRows = 2 * Factor, kPlanes = (Factor + 1) / 2;  // planes of the buffer for each row

  // `buffer`: null if no chroma is wanted. `first`: first column of the tensor, `width`: its columns.
  ChromaRow(LineBuffer* buffer, const Video* to, int row, int first, int width)
      : to_(to), luma_(first * Factor), width_(width * Factor), next_((luma_ + kBefore + 1) / 2) {
    if (buffer == nullptr || to == nullptr || to->frame.cb == nullptr) return;
    samples_ = buffer->lanes(row), stride_ = kPlanes * buffer->plane();
    if (first == 0) next_ = 0;
  }

  bool wanted() const { return samples_ != nullptr; }

  // Where to write chroma [x * Factor + dx] of the next tile.
  float* tile(int chroma, int dy) { return lines_[chroma * Factor + dy] + kHistory; }

  // Loads what `reduce` will write of the next tile to the cache, to be modified: a store would wait for each line.
  // Inlined for the reason that `prefetch_frame` is.
  __attribute__((always_inline)) void prefetch() const {
    if (!wanted()) return;
    for (int row = 0; row < kRows; ++row)
      for (int x = 0; x <= kTile * Factor / 2; x += 64 / static_cast<int>(sizeof(float)))
        __builtin_prefetch(place(row) + next_ + x, 1);
  }

  // Computes the samples for which a tile of `count` columns completes the luma columns that they are made from.
  void reduce(int column, int count) {
    const int begin = column * Factor, valid = std::min(count, kTile) * Factor;
    const bool at_end = begin + valid == width_;
    // Beyond the right edge the last column is repeated as often as a filter reads it.
    const int known = begin + valid + (at_end ? kDown : 0);
    const int end = std::max(next_, std::min((known - (kDown - kBefore - 1) + 1) / 2, width_ / 2));
    for (int row = 0; row < kRows; ++row) {
      float* const line = lines_[row];
      if (begin == 0) std::fill(line, line + kHistory, line[kHistory]);
      if (at_end) std::fill(line + kHistory + valid, line + kHistory + valid + kDown, line[kHistory + valid - 1]);
      const float* from = line + kHistory + 2 * next_ - kBefore - begin;
      float* const to = place(row);
      for (int k = next_; k < end; ++k, from += 2) {
        float sum = to_->columns.down[0] * from[0];
        for (int tap = 1; tap < kDown; ++tap) sum += to_->columns.down[tap] * from[tap];
        to[k] = sum;
      }
      std::memmove(line, line + valid, kHistory * sizeof(float));
    }
    next_ = end;
  }

 private:
  static constexpr int kHistory = 8;  // luma columns that are kept of the tile before

  // Of a row, addressed by columns of chroma.
  float* place(int row) const { return samples_ + row * stride_ - luma_ / 2; }

  const Video* to_;
  int luma_, width_, next_;
  float* samples_ = nullptr;
  std::ptrdiff_t stride_ = 0;
  alignas(64) float lines_[kRows][kHistory + kTile * Factor + kDown];
};

// What `write_frame` does, for a video frame: writes its luma, and chroma for `reduce_chroma`.
template <int Factor>
inline void write_video(const float* tile, const Video& to, const Colours& port, const Extent& own, int row, int column,
                        int count, ChromaRow<Factor>& chroma) {
  const simd::Vec white = simd::broadcast(1.0f), black = simd::broadcast(port.black);
  const simd::Vec scale = simd::broadcast(1.0f / port.span);
  const simd::Vec weights[kRgb] = {simd::broadcast(to.red), simd::broadcast(to.green), simd::broadcast(to.blue)};
  const simd::Vec luma_span = simd::broadcast(to.luma_span), luma_black = simd::broadcast(to.luma_black);
  const simd::Vec cb_scale = simd::broadcast(1.0f / to.cb_of_blue), cr_scale = simd::broadcast(1.0f / to.cr_of_red);
  for (int dy = 0; dy < Factor; ++dy) {
    alignas(64) float luma[Factor][kTile], cb[Factor][kTile], cr[Factor][kTile];
    for (int dx = 0; dx < Factor; ++dx)
      for (int x = 0; x < kTile; x += simd::kWidth) {
        const auto value = [&](int colour) {
          const int plane = (port.channel(colour) * Factor + dy) * Factor + dx;
          const simd::Vec given = simd::load(tile + plane * kTile + x);
          return simd::min(simd::max(simd::mul(simd::sub(given, black), scale), simd::zero()), white);
        };
        const simd::Vec red = value(0), green = value(1), blue = value(2);
        const simd::Vec y = simd::fma(weights[0], red, simd::fma(weights[1], green, simd::mul(weights[2], blue)));
        simd::store(luma[dx] + x, simd::fma(y, luma_span, luma_black));
        simd::store(cb[dx] + x, simd::mul(simd::sub(blue, y), cb_scale));
        simd::store(cr[dx] + x, simd::mul(simd::sub(red, y), cr_scale));
      }
    const auto write = to.wide() ? write_luma<std::uint16_t, Factor> : write_luma<std::uint8_t, Factor>;
    write(luma, to, own, row * Factor + dy, column, count);
    if (!chroma.wanted()) continue;
    float *const blues = chroma.tile(0, dy), *const reds = chroma.tile(1, dy);
    for (int x = 0; x < kTile; ++x)
#pragma GCC unroll 8
      for (int dx = 0; dx < Factor; ++dx) blues[x * Factor + dx] = cb[dx][x], reds[x * Factor + dx] = cr[dx][x];
  }
  if (chroma.wanted()) chroma.reduce(column, count);
}

// Writes samples of a row of chroma.
template <class Sample>
inline void write_chroma(const float* chroma, const Video& to, void* plane, int row, int column, int count) {
  auto* line = reinterpret_cast<Sample*>(static_cast<std::uint8_t*>(plane) + row * to.frame.chroma_stride);
  line += column * static_cast<std::ptrdiff_t>(to.frame.chroma_step);
  if (to.frame.chroma_step == 1)
    for (int x = 0; x < count; ++x) line[x] = sample_of<Sample>(chroma[x], to.largest);
  else
    for (int x = 0; x < count; ++x) line[x * to.frame.chroma_step] = sample_of<Sample>(chroma[x], to.largest);
}

// Computes a tile of a row of chroma samples from the rows of a line buffer that `ChromaRow` wrote. `height`: of the
// tensor; `first`: its first column in the buffer.
template <int Factor>
inline void reduce_chroma(const LineBuffer& kept, const Video& to, int height, int first, int row, int column,
                          int count) {
  count = std::min(count, kTile);
  const std::ptrdiff_t stride = ChromaRow<Factor>::kPlanes * kept.plane();
  void* const planes[] = {to.frame.cb, to.frame.cr};
  const simd::Vec span = simd::broadcast(to.chroma_span), middle = simd::broadcast(to.middle);
  for (int plane = 0; plane < 2; ++plane) {
    const float* from[kDown];
    for (int tap = 0; tap < kDown; ++tap) {
      const int y = std::min(std::max(2 * row - kBefore + tap, 0), height * Factor - 1);
      from[tap] = kept.lanes(y / Factor) + (plane * Factor + y % Factor) * stride + column - first * Factor / 2;
    }
    alignas(64) float samples[kTile];
    for (int x = 0; x < kTile; x += simd::kWidth) {
      simd::Vec sum = simd::zero();
      for (int tap = 0; tap < kDown; ++tap)
        sum = simd::fma(simd::broadcast(to.rows.down[tap]), simd::load(from[tap] + x), sum);
      simd::store(samples + x, simd::fma(sum, span, middle));
    }
    const auto write = to.wide() ? write_chroma<std::uint16_t> : write_chroma<std::uint8_t>;
    write(samples, to, planes[plane], row, column, count);
  }
}

}  // namespace rows
