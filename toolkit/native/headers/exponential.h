// exp and tanh of a vector, with the same bits on all targets.
#pragma once
#include "lanes.h"

namespace rows {

// exp(x) = 2^n exp(r) for the whole number n nearest to x / ln 2, with |r| <= ln 2 / 2, and exp(r) - 1 = r + r^2 q(r).
// The polynomial q is a minimax fit of the relative error of exp(r) - 1, which stays below 2e-8. ln 2 is the sum of two
// numbers, of which the first has so few bits that its product with n is exact.
constexpr float kExpTerms[] = {0x1.fffffep-2f, 0x1.5554b0p-3f, 0x1.555674p-5f, 0x1.1227f6p-7f, 0x1.6bebf2p-10f};
constexpr float kLog2E = 0x1.715476p+0f, kLn2High = 0x1.62e8p-1f, kLn2Low = -0x1.e8082ep-16f;

// 2^n and exp(r) - 1 for |x| up to 87, so that neither exp(x) nor 2^n leaves the range of normal numbers.
struct Exponential {
  simd::Vec power, remainder;

  explicit Exponential(simd::Vec x) {
    const simd::Vec n = simd::round(simd::mul(x, simd::broadcast(kLog2E)));
    simd::Vec r = simd::fma(n, simd::broadcast(-kLn2High), x);
    r = simd::fma(n, simd::broadcast(-kLn2Low), r);
    simd::Vec q = simd::broadcast(kExpTerms[4]);
#pragma GCC unroll 4
    for (int i = 3; i >= 0; --i) q = simd::fma(q, r, simd::broadcast(kExpTerms[i]));
    power = simd::power_of_two(n);
    remainder = simd::fma(simd::mul(r, r), q, r);
  }
};

// exp(x), limited to -87 <= x <= 87.
inline simd::Vec exponential(simd::Vec x) {
  const Exponential e(simd::min(simd::max(x, simd::broadcast(-87.0f)), simd::broadcast(87.0f)));
  return simd::fma(e.power, e.remainder, e.power);
}

// tanh(x) = (e - 1) / (e + 1) for e = exp(2 x). From e - 1, which is exact to a few units in the last place also where
// e is nearly 1, so tanh of small numbers has no cancellation. Beyond 10 it is 1 or -1 in float32.
inline simd::Vec hyperbolic_tangent(simd::Vec x) {
  const simd::Vec limited = simd::min(simd::max(x, simd::broadcast(-10.0f)), simd::broadcast(10.0f));
  const Exponential e(simd::add(limited, limited));
  const simd::Vec minus_one = simd::fma(e.power, e.remainder, simd::sub(e.power, simd::broadcast(1.0f)));
  return simd::div(minus_one, simd::add(minus_one, simd::broadcast(2.0f)));
}

}  // namespace rows
