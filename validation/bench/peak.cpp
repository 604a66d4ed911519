// Multiply-adds a second of one thread, from registers: what a kernel's speed is a share of. Prints one number a line:
// float32, then bf16 and int8 where the target has instructions for them (1, 2 and 4 a lane), with AMX those for tiles.
#include <immintrin.h>

#include <chrono>
#include <cstdio>

#ifdef __AMX_TILE__
#include "../../toolkit/native/headers/tiles_amx.h"
#endif

// Twelve sums: enough to hide the latency of four cycles with two units.
#define TWELVE(step) \
  step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)

template <class Body>
double per_second(long lanes, Body body) {
  constexpr long kRounds = 400000;
  double best = 0;
  for (int trial = 0; trial < 15; ++trial) {
    const auto begin = std::chrono::steady_clock::now();
    body(kRounds);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const double speed = 12.0 * kRounds * lanes / seconds.count();
    best = speed > best ? speed : best;
  }
  return best;
}

#ifdef __AVX512F__
#define VECTOR __m512
constexpr long kLanes = 16;
#else
#define VECTOR __m256
constexpr long kLanes = 8;
#endif

#define DECLARE(i) VECTOR s##i = {};
#define FLOAT(i) asm volatile("vfmadd231ps %1, %1, %0" : "+v"(s##i) : "v"(one));
#define BF16(i) asm volatile("vdpbf16ps %1, %1, %0" : "+v"(s##i) : "v"(one));
#define INT8(i) asm volatile("vpdpbusd %1, %1, %0" : "+v"(s##i) : "v"(one));
#define RUN(step)                                  \
  [](long rounds) {                                \
    VECTOR one = {};                               \
    TWELVE(DECLARE)                                \
    for (long r = 0; r < rounds; ++r) { TWELVE(step) } \
  }

// Products of 16 x 16 by 16 x 16 lanes.
constexpr long kTileLanes = 16 * 16 * 16;
#define TILE_BF16(i) tiles::dot_bf16<i % 6, 6, 7>();
#define TILE_INT8(i) tiles::dot_int8<i % 6, 6, 7>();
#define RUN_TILES(step)                            \
  [](long rounds) {                                \
    for (long r = 0; r < rounds; ++r) { TWELVE(step) } \
  }

int main() {
  std::printf("%.0f\n", per_second(kLanes, RUN(FLOAT)));
#if defined(__AMX_TILE__)
  if (!tiles::available()) return 1;
  tiles::Configuration shapes;
  shapes.palette = 1;
  for (int i = 0; i < tiles::kRegisters; ++i) shapes.rows[i] = 16, shapes.bytes[i] = 64;
  const tiles::Scope scope(shapes);  // and all registers are zero
  std::printf("%.0f\n", per_second(2 * kTileLanes, RUN_TILES(TILE_BF16)));
  std::printf("%.0f\n", per_second(4 * kTileLanes, RUN_TILES(TILE_INT8)));
#else
#ifdef __AVX512BF16__
  std::printf("%.0f\n", per_second(2 * kLanes, RUN(BF16)));
#endif
#ifdef __AVX512VNNI__
  std::printf("%.0f\n", per_second(4 * kLanes, RUN(INT8)));
#endif
#endif
}
