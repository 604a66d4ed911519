// Conversion of samples between planes of VapourSynth and frames of an engine, as `toolkit/port.py` does it.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "loading.h"

// Where the samples of one colour are: in a plane of VapourSynth, or in a frame of an engine.
struct Samples {
  std::uint8_t* data;
  std::ptrdiff_t row;  // bytes from one to the next
};

inline Samples in_frame(void* frame, const rt4ksr_port& port, int colour, int height, int width) {
  const int channel = port.reversed ? port.channels - 1 - colour : colour;
  const std::ptrdiff_t bytes = port.bytes, pixel = port.interleaved ? port.channels * bytes : bytes;
  const std::ptrdiff_t first = port.interleaved ? channel * bytes : channel * bytes * height * width;
  return {static_cast<std::uint8_t*>(frame) + first, pixel * width};
}

// To nearest, ties to even, for magnitudes below 2^22: the sum has no bits for fractions. Unlike rintf, it needs no
// instruction that the oldest x86-64 lacks.
inline float rounded(float value) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23
  return (value + kShift) - kShift;
}

// Within low..high; NaN becomes `high`.
inline float limited(float value, float low, float high) {
  const float below = value < high ? value : high;
  return below > low ? below : low;
}

// Values 0..source as 0..target, rounded once where one is a whole multiple of the other.
class Scale {
 public:
  Scale(double target, double source)
      : up_(target > source), factor_(static_cast<float>(up_ ? target / source : source / target)) {}
  float operator()(float value) const { return up_ ? value * factor_ : value / factor_; }

 private:
  bool up_;
  float factor_;
};

// Source index of each of `target` positions, of which `size` are given: the edge is not repeated.
inline std::vector<int> reflected(int size, int target) {
  std::vector<int> indices(target, 0);
  const int period = 2 * (size - 1);
  for (int i = 0; i < target && size > 1; ++i) indices[i] = std::min(i % period, period - i % period);
  return indices;
}

// Writes a plane of `Sample`s, 0..white, into a frame of `Value`s, of which neighbours are `step` apart.
template <class Sample, class Value, int step>
void encode(const Samples& from, int height, int width, double white, const rt4ksr_port& port, const Samples& to,
            int to_height, int to_width) {
  const Scale scale(port.span, white);
  const float black = static_cast<float>(port.black), top = static_cast<float>(port.black + port.span);
  const std::vector<int> rows = reflected(height, to_height), columns = reflected(width, to_width);
  for (int y = 0; y < to_height; ++y) {
    const auto* source = reinterpret_cast<const Sample*>(from.data + rows[y] * from.row);
    auto* target = reinterpret_cast<Value*>(to.data + y * to.row);
    const auto converted = [&](Sample sample) {
      float value = scale(static_cast<float>(sample)) + black;
      if (std::is_same<Value, std::uint8_t>::value) value = rounded(limited(value, black, top));
      return static_cast<Value>(value);
    };
    for (int x = 0; x < width; ++x) target[x * step] = converted(source[x]);
    for (int x = width; x < to_width; ++x) target[x * step] = converted(source[columns[x]]);
  }
}

// Writes the first rows and columns of a frame into a plane. Integers are limited and rounded, floating point is not.
template <class Sample, class Value, int step>
void decode(const Samples& from, const rt4ksr_port& port, const Samples& to, int height, int width, double white) {
  const Scale scale(white, port.span);
  const float black = static_cast<float>(port.black), top = static_cast<float>(port.black + port.span);
  for (int y = 0; y < height; ++y) {
    const auto* source = reinterpret_cast<const Value*>(from.data + y * from.row);
    auto* target = reinterpret_cast<Sample*>(to.data + y * to.row);
    for (int x = 0; x < width; ++x) {
      const float value = static_cast<float>(source[x * step]);
      target[x] = static_cast<Sample>(std::is_same<Sample, float>::value
                                          ? scale(value - black)
                                          : rounded(scale(limited(value, black, top) - black)));
    }
  }
}

// Replaces the first plane by the mean of three.
template <class Sample>
void average(const Samples& first, const Samples& second, const Samples& third, int height, int width) {
  for (int y = 0; y < height; ++y) {
    const auto at = [&](const Samples& plane) { return reinterpret_cast<Sample*>(plane.data + y * plane.row); };
    Sample *a = at(first), *b = at(second), *c = at(third);
    for (int x = 0; x < width; ++x) {
      const float mean = (static_cast<float>(a[x]) + static_cast<float>(b[x]) + static_cast<float>(c[x])) / 3.0f;
      a[x] = static_cast<Sample>(std::is_same<Sample, float>::value ? mean : rounded(mean));
    }
  }
}
