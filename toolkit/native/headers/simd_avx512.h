// AVX-512: 16 pixels per vector. BF16 and VNNI instructions if the target has them, otherwise the same arithmetic
// without them.
#pragma once
#include <immintrin.h>

#include <cstdint>

namespace simd {

constexpr int kWidth = 16;  // pixels per vector

using Vec = __m512;     // one float per pixel
using Lanes = __m512i;  // 32 bits per pixel: two bf16, four int8, or an int32 sum

inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec broadcast(float value) { return _mm512_set1_ps(value); }
inline Vec load(const float* from) { return _mm512_loadu_ps(from); }
inline void store(float* to, Vec value) { _mm512_storeu_ps(to, value); }

inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec sqrt(Vec a) { return _mm512_sqrt_ps(a); }
inline Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec abs(Vec a) { return _mm512_abs_ps(a); }
inline Vec round(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

// Of neighbouring pixels in a and b, the first and the second of each pair, in an order that `join` reverses.
inline void split(Vec a, Vec b, Vec& first, Vec& second) {
  first = _mm512_shuffle_ps(a, b, 0x88);
  second = _mm512_shuffle_ps(a, b, 0xdd);
}
inline void join(Vec first, Vec second, Vec& a, Vec& b) {
  a = _mm512_unpacklo_ps(first, second);
  b = _mm512_unpackhi_ps(first, second);
}

// 2^a for whole numbers a in -126..127
inline Vec power_of_two(Vec a) {
  const Lanes exponent = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127));
  return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
}

inline Lanes broadcast(std::uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }
inline Lanes load(const std::uint32_t* from) { return _mm512_loadu_si512(from); }
inline void store(std::uint32_t* to, Lanes value) { _mm512_storeu_si512(to, value); }
inline Lanes add(Lanes a, Lanes b) { return _mm512_add_epi32(a, b); }
inline Vec to_float(Lanes integers) { return _mm512_cvtepi32_ps(integers); }

// sum + x.odd * w.odd, then + x.even * w.even
inline Vec dot_bf16(Vec sum, Lanes x, Lanes w) {
#ifdef __AVX512BF16__
  return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w);
#else
  const Lanes high = broadcast(0xffff0000u);
  sum = fma(_mm512_castsi512_ps(_mm512_and_si512(x, high)), _mm512_castsi512_ps(_mm512_and_si512(w, high)), sum);
  return fma(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)), sum);
#endif
}

// sum + the four products of unsigned bytes of x and signed bytes of w, exact
inline Lanes dot_int8(Lanes sum, Lanes x, Lanes w) {
#ifdef __AVX512VNNI__
  return _mm512_dpbusd_epi32(sum, x, w);
#else
  const Lanes even = _mm512_madd_epi16(_mm512_and_si512(x, broadcast(0x00ff00ffu)),
                                       _mm512_srai_epi16(_mm512_slli_epi16(w, 8), 8));
  const Lanes odd = _mm512_madd_epi16(_mm512_srli_epi16(x, 8), _mm512_srai_epi16(w, 8));
  return _mm512_add_epi32(sum, _mm512_add_epi32(even, odd));
#endif
}

// Packs two channels to a pair of bf16 per pixel, rounded to nearest, ties to even; the first in the lower half.
inline Lanes pack_bf16(Vec first, Vec second) {
#ifdef __AVX512BF16__
  const Lanes packed = (Lanes)_mm512_cvtne2ps_pbh(second, first);  // 16 of the first, then 16 of the second
  const Lanes order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,  //
                                       23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, packed);
#else
  const auto rounded = [](Vec value) {
    const Lanes bits = _mm512_castps_si512(value);
    const Lanes last = _mm512_and_si512(_mm512_srli_epi32(bits, 16), broadcast(1u));
    return _mm512_add_epi32(bits, _mm512_add_epi32(last, broadcast(0x7fffu)));
  };
  return _mm512_or_si512(_mm512_srli_epi32(rounded(first), 16),
                         _mm512_and_si512(rounded(second), broadcast(0xffff0000u)));
#endif
}

// From four bytes each of a, b, c, d per 128-bit part to one of each per pixel.
inline Lanes interleave_bytes(Lanes packed) {
  const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_shuffle_epi8(packed, _mm512_broadcast_i32x4(order));
}

// Rounds to integers. The upper limit is applied before, because values beyond int32 would become the lowest integer.
inline Lanes nearest(Vec value, float highest) { return _mm512_cvtps_epi32(min(value, broadcast(highest))); }

// Packs four channels to bytes per pixel: rounded to nearest (ties to even), clamped to -128..127, with 128 added.
inline Lanes pack_int8(Vec a, Vec b, Vec c, Vec d) {
  const Lanes ab = _mm512_packs_epi32(nearest(a, 127.0f), nearest(b, 127.0f));
  const Lanes cd = _mm512_packs_epi32(nearest(c, 127.0f), nearest(d, 127.0f));
  return _mm512_xor_si512(interleave_bytes(_mm512_packs_epi16(ab, cd)), broadcast(0x80808080u));
}

// Packs four neighbouring samples of an image to bytes, clamped to 0..255.
inline Lanes pack_uint8(Vec a, Vec b, Vec c, Vec d) {
  const Lanes ab = _mm512_packs_epi32(nearest(a, 255.0f), nearest(b, 255.0f));
  const Lanes cd = _mm512_packs_epi32(nearest(c, 255.0f), nearest(d, 255.0f));
  return interleave_bytes(_mm512_packus_epi16(ab, cd));
}

}  // namespace simd
