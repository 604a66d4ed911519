// NEON of ARMv8: 4 pixels per vector. bf16 and int8 use baseline instructions, with the same results.
#pragma once
#include <arm_neon.h>

#include <cstdint>

namespace simd {

constexpr int kWidth = 4;  // pixels per vector

using Vec = float32x4_t;   // one float per pixel
using Lanes = uint32x4_t;  // 32 bits per pixel: two bf16, four int8, or an int32 sum

inline Vec zero() { return vdupq_n_f32(0.0f); }
inline Vec broadcast(float value) { return vdupq_n_f32(value); }
inline Vec load(const float* from) { return vld1q_f32(from); }
inline void store(float* to, Vec value) { vst1q_f32(to, value); }

inline Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
inline Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
inline Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
inline Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
inline Vec sqrt(Vec a) { return vsqrtq_f32(a); }
inline Vec min(Vec a, Vec b) { return vminq_f32(a, b); }
inline Vec max(Vec a, Vec b) { return vmaxq_f32(a, b); }
inline Vec abs(Vec a) { return vabsq_f32(a); }
inline Vec round(Vec a) { return vrndnq_f32(a); }

// Of neighbouring pixels in a and b, the first and the second of each pair, in an order that `join` reverses.
inline void split(Vec a, Vec b, Vec& first, Vec& second) {
  first = vuzp1q_f32(a, b);
  second = vuzp2q_f32(a, b);
}
inline void join(Vec first, Vec second, Vec& a, Vec& b) {
  a = vzip1q_f32(first, second);
  b = vzip2q_f32(first, second);
}

// 2^a for whole numbers a in -126..127
inline Vec power_of_two(Vec a) {
  const int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(a), vdupq_n_s32(127));
  return vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23));
}

inline Lanes broadcast(std::uint32_t value) { return vdupq_n_u32(value); }
inline Lanes load(const std::uint32_t* from) { return vld1q_u32(from); }
inline void store(std::uint32_t* to, Lanes value) { vst1q_u32(to, value); }
inline Lanes add(Lanes a, Lanes b) { return vaddq_u32(a, b); }
inline Vec to_float(Lanes integers) { return vcvtq_f32_s32(vreinterpretq_s32_u32(integers)); }

// sum + x.odd * w.odd, then + x.even * w.even
inline Vec dot_bf16(Vec sum, Lanes x, Lanes w) {
  const auto odd = [](Lanes pair) { return vreinterpretq_f32_u32(vandq_u32(pair, broadcast(0xffff0000u))); };
  const auto even = [](Lanes pair) { return vreinterpretq_f32_u32(vshlq_n_u32(pair, 16)); };
  return fma(even(x), even(w), fma(odd(x), odd(w), sum));
}

// sum + the four products of unsigned bytes of x and signed bytes of w, exact
inline Lanes dot_int8(Lanes sum, Lanes x, Lanes w) {
  const auto pixel = [&](int shift) { return vandq_u32(vshlq_u32(x, vdupq_n_s32(-shift)), broadcast(0xffu)); };
  const auto weight = [&](int shift) {
    const int32x4_t high = vreinterpretq_s32_u32(vshlq_u32(w, vdupq_n_s32(24 - shift)));
    return vreinterpretq_u32_s32(vshrq_n_s32(high, 24));
  };
  for (int shift = 0; shift < 32; shift += 8) sum = vmlaq_u32(sum, pixel(shift), weight(shift));
  return sum;
}

// Packs two channels to a pair of bf16 per pixel, rounded to nearest, ties to even; the first in the lower half.
inline Lanes pack_bf16(Vec first, Vec second) {
  const auto rounded = [](Vec value) {
    const Lanes bits = vreinterpretq_u32_f32(value);
    const Lanes last = vandq_u32(vshrq_n_u32(bits, 16), broadcast(1u));
    return vaddq_u32(bits, vaddq_u32(last, broadcast(0x7fffu)));
  };
  return vorrq_u32(vshrq_n_u32(rounded(first), 16), vandq_u32(rounded(second), broadcast(0xffff0000u)));
}

// Packs four values to the bytes of a lane: rounded to nearest (ties to even) and clamped.
inline Lanes pack_bytes(const Vec (&values)[4], float lowest, float highest, int added) {
  Lanes packed = broadcast(0u);
  for (int i = 0; i < 4; ++i) {
    const Vec limited = min(max(values[i], broadcast(lowest)), broadcast(highest));
    const int32x4_t rounded = vaddq_s32(vcvtnq_s32_f32(limited), vdupq_n_s32(added));
    packed = vorrq_u32(packed, vshlq_u32(vreinterpretq_u32_s32(rounded), vdupq_n_s32(8 * i)));
  }
  return packed;
}

// Clamped to -128..127, with 128 added.
inline Lanes pack_int8(Vec a, Vec b, Vec c, Vec d) { return pack_bytes({a, b, c, d}, -128.0f, 127.0f, 128); }

// Clamped to 0..255: four neighbouring samples of an image.
inline Lanes pack_uint8(Vec a, Vec b, Vec c, Vec d) { return pack_bytes({a, b, c, d}, 0.0f, 255.0f, 0); }

}  // namespace simd
