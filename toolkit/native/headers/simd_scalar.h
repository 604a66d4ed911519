// Portable C++ without vectors, one pixel at a time: the reference for the other targets, and the one to read first.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace simd {

constexpr int kWidth = 1;  // pixels per vector

using Vec = float;            // one float per pixel
using Lanes = std::uint32_t;  // 32 bits per pixel: two bf16, four int8, or an int32 sum

inline Vec zero() { return 0.0f; }
inline Vec broadcast(float value) { return value; }
inline Vec load(const float* from) { return *from; }
inline void store(float* to, Vec value) { *to = value; }

inline Vec add(Vec a, Vec b) { return a + b; }
inline Vec sub(Vec a, Vec b) { return a - b; }
inline Vec mul(Vec a, Vec b) { return a * b; }
inline Vec div(Vec a, Vec b) { return a / b; }
inline Vec fma(Vec a, Vec b, Vec c) { return std::fma(a, b, c); }
inline Vec sqrt(Vec a) { return std::sqrt(a); }
inline Vec min(Vec a, Vec b) { return a < b ? a : b; }
inline Vec max(Vec a, Vec b) { return a > b ? a : b; }
inline Vec abs(Vec a) { return std::fabs(a); }
inline Vec round(Vec a) { return std::nearbyint(a); }

// Of neighbouring pixels in a and b, the first and the second of each pair, in an order that `join` reverses.
inline void split(Vec a, Vec b, Vec& first, Vec& second) { first = a, second = b; }
inline void join(Vec first, Vec second, Vec& a, Vec& b) { a = first, b = second; }

inline Lanes broadcast(std::uint32_t value) { return value; }
inline Lanes load(const std::uint32_t* from) { return *from; }
inline void store(std::uint32_t* to, Lanes value) { *to = value; }
inline Lanes add(Lanes a, Lanes b) { return a + b; }
inline Vec to_float(Lanes integer) { return static_cast<float>(static_cast<std::int32_t>(integer)); }

inline float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// 2^a for whole numbers a in -126..127
inline Vec power_of_two(Vec a) { return from_bits(static_cast<std::uint32_t>(static_cast<int>(a) + 127) << 23); }

// sum + x.odd * w.odd, then + x.even * w.even
inline Vec dot_bf16(Vec sum, Lanes x, Lanes w) {
  sum = std::fma(from_bits(x & 0xffff0000u), from_bits(w & 0xffff0000u), sum);
  return std::fma(from_bits(x << 16), from_bits(w << 16), sum);
}

// sum + the four products of unsigned bytes of x and signed bytes of w, exact
inline Lanes dot_int8(Lanes sum, Lanes x, Lanes w) {
  for (int i = 0; i < 32; i += 8) {
    const int pixel = static_cast<std::uint8_t>(x >> i), weight = static_cast<std::int8_t>(w >> i);
    sum += static_cast<std::uint32_t>(pixel * weight);
  }
  return sum;
}

// Packs two channels to a pair of bf16, rounded to nearest, ties to even; the first in the lower half.
inline Lanes pack_bf16(Vec first, Vec second) {
  const auto rounded = [](float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits + 0x7fffu + (bits >> 16 & 1u);
  };
  return rounded(first) >> 16 | (rounded(second) & 0xffff0000u);
}

// Packs four values to bytes: rounded to nearest (ties to even) and clamped.
inline Lanes pack_bytes(const Vec (&values)[4], float lowest, float highest, int added) {
  Lanes packed = 0;
  for (int i = 0; i < 4; ++i) {
    const int rounded = static_cast<int>(std::nearbyint(std::min(std::max(values[i], lowest), highest)));
    packed |= static_cast<Lanes>(rounded + added) << 8 * i;
  }
  return packed;
}

// Clamped to -128..127, with 128 added.
inline Lanes pack_int8(Vec a, Vec b, Vec c, Vec d) { return pack_bytes({a, b, c, d}, -128.0f, 127.0f, 128); }

// Clamped to 0..255: four neighbouring samples of an image.
inline Lanes pack_uint8(Vec a, Vec b, Vec c, Vec d) { return pack_bytes({a, b, c, d}, 0.0f, 255.0f, 0); }

}  // namespace simd
