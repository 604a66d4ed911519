// AVX2 and FMA: 8 pixels per vector. bf16 and int8 use baseline instructions, with the same results.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace simd {

constexpr int kWidth = 8;  // pixels per vector

using Vec = __m256;     // one float per pixel
using Lanes = __m256i;  // 32 bits per pixel: two bf16, four int8, or an int32 sum

inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec broadcast(float value) { return _mm256_set1_ps(value); }
inline Vec load(const float* from) { return _mm256_loadu_ps(from); }
inline void store(float* to, Vec value) { _mm256_storeu_ps(to, value); }

inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec sqrt(Vec a) { return _mm256_sqrt_ps(a); }
inline Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec abs(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
inline Vec round(Vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

// Of neighbouring pixels in a and b, the first and the second of each pair, in an order that `join` reverses.
inline void split(Vec a, Vec b, Vec& first, Vec& second) {
  first = _mm256_shuffle_ps(a, b, 0x88);
  second = _mm256_shuffle_ps(a, b, 0xdd);
}
inline void join(Vec first, Vec second, Vec& a, Vec& b) {
  a = _mm256_unpacklo_ps(first, second);
  b = _mm256_unpackhi_ps(first, second);
}

// 2^a for whole numbers a in -126..127
inline Vec power_of_two(Vec a) {
  const Lanes exponent = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}

inline Lanes broadcast(std::uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); }
inline Lanes load(const std::uint32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const Lanes*>(from)); }
inline void store(std::uint32_t* to, Lanes value) { _mm256_storeu_si256(reinterpret_cast<Lanes*>(to), value); }
inline Lanes add(Lanes a, Lanes b) { return _mm256_add_epi32(a, b); }
inline Vec to_float(Lanes integers) { return _mm256_cvtepi32_ps(integers); }

// sum + x.odd * w.odd, then + x.even * w.even
inline Vec dot_bf16(Vec sum, Lanes x, Lanes w) {
  const auto odd = [](Lanes pair) { return _mm256_castsi256_ps(_mm256_and_si256(pair, broadcast(0xffff0000u))); };
  const auto even = [](Lanes pair) { return _mm256_castsi256_ps(_mm256_slli_epi32(pair, 16)); };
  return fma(even(x), even(w), fma(odd(x), odd(w), sum));
}

// sum + the four products of unsigned bytes of x and signed bytes of w, exact
inline Lanes dot_int8(Lanes sum, Lanes x, Lanes w) {
  const Lanes even = _mm256_madd_epi16(_mm256_and_si256(x, broadcast(0x00ff00ffu)),
                                       _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
  const Lanes odd = _mm256_madd_epi16(_mm256_srli_epi16(x, 8), _mm256_srai_epi16(w, 8));
  return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

// Packs two channels to a pair of bf16 per pixel, rounded to nearest, ties to even; the first in the lower half.
inline Lanes pack_bf16(Vec first, Vec second) {
  const auto rounded = [](Vec value) {
    const Lanes bits = _mm256_castps_si256(value);
    const Lanes last = _mm256_and_si256(_mm256_srli_epi32(bits, 16), broadcast(1u));
    return _mm256_add_epi32(bits, _mm256_add_epi32(last, broadcast(0x7fffu)));
  };
  return _mm256_or_si256(_mm256_srli_epi32(rounded(first), 16),
                         _mm256_and_si256(rounded(second), broadcast(0xffff0000u)));
}

// From four bytes each of a, b, c, d per 128-bit part to one of each per pixel.
inline Lanes interleave_bytes(Lanes packed) {
  const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm256_shuffle_epi8(packed, _mm256_broadcastsi128_si256(order));
}

// Rounds to integers. The upper limit is applied before, because values beyond int32 would become the lowest integer.
inline Lanes nearest(Vec value, float highest) { return _mm256_cvtps_epi32(min(value, broadcast(highest))); }

// Packs four channels to bytes per pixel: rounded to nearest (ties to even), clamped to -128..127, with 128 added.
inline Lanes pack_int8(Vec a, Vec b, Vec c, Vec d) {
  const Lanes ab = _mm256_packs_epi32(nearest(a, 127.0f), nearest(b, 127.0f));
  const Lanes cd = _mm256_packs_epi32(nearest(c, 127.0f), nearest(d, 127.0f));
  return _mm256_xor_si256(interleave_bytes(_mm256_packs_epi16(ab, cd)), broadcast(0x80808080u));
}

// Packs four neighbouring samples of an image to bytes, clamped to 0..255.
inline Lanes pack_uint8(Vec a, Vec b, Vec c, Vec d) {
  const Lanes ab = _mm256_packs_epi32(nearest(a, 255.0f), nearest(b, 255.0f));
  const Lanes cd = _mm256_packs_epi32(nearest(c, 255.0f), nearest(d, 255.0f));
  return interleave_bytes(_mm256_packus_epi16(ab, cd));
}

}  // namespace simd
