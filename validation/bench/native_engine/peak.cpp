// The most that threads of this machine can do, which the speed of an engine is a share of. For every line of standard
// input, a number of threads, it prints what that many do together in a second: multiply-adds from registers in float32,
// then in bf16 and int8 where the target has instructions for them (1, 2 and 4 per lane; with AMX those for tiles), and
// bytes of a copy in memory, read and written.
#include <immintrin.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#ifdef __AMX_TILE__
#include "../../../toolkit/native/headers/tiles_amx.h"
#endif

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// Sum over threads of what each of them did in a second. `work` does some and returns how much; it is called until
// `length` has passed since all threads were ready.
template <class Work>
double together(int threads, Seconds length, Work work) {
  std::atomic<int> waiting{threads};
  std::vector<double> rates(threads);
  std::vector<std::thread> pool;
  for (int thread = 0; thread < threads; ++thread)
    pool.emplace_back([&, thread] {
      work(thread);  // the clock rate adapts to the instructions
      --waiting;
      while (waiting > 0) std::this_thread::yield();
      const auto begin = Clock::now();
      double done = 0, seconds = 0;
      do {
        done += work(thread);
        seconds = Seconds(Clock::now() - begin).count();
      } while (seconds < length.count());
      rates[thread] = done / seconds;
    });
  for (std::thread& thread : pool) thread.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

// Twelve sums: enough to hide the latency of four cycles with two units.
#define TWELVE(step) \
  step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)

constexpr long kRounds = 100000;
constexpr Seconds kLength(0.01);

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

#define RUN(step, products)                              \
  together(threads, kLength, [](int) {                   \
    VECTOR one = {};                                     \
    TWELVE(DECLARE)                                      \
    for (long r = 0; r < kRounds; ++r) { TWELVE(step) }  \
    return 12.0 * kRounds * (products) * kLanes;         \
  })

#ifdef __AMX_TILE__
// Products of 16 x 16 by 16 x 16 lanes.
constexpr long kTileRounds = 4000, kTileLanes = 16 * 16 * 16;
#define TILE_BF16(i) tiles::dot_bf16<i % 6, 6, 7>();
#define TILE_INT8(i) tiles::dot_int8<i % 6, 6, 7>();
#define RUN_TILES(step, products)                          \
  together(threads, kLength, [](int) {                     \
    const tiles::Scope scope(shapes());                    \
    for (long r = 0; r < kTileRounds; ++r) { TWELVE(step) } \
    return 12.0 * kTileRounds * (products) * kTileLanes;   \
  })

tiles::Configuration shapes() {
  tiles::Configuration found;
  found.palette = 1;
  for (int i = 0; i < tiles::kRegisters; ++i) found.rows[i] = 16, found.bytes[i] = 64;
  return found;
}
#endif

// Larger than caches. Each thread copies a part of its own.
constexpr size_t kBytes = size_t{128} << 20;

double copied(int threads, std::vector<char>& from, std::vector<char>& to) {
  const size_t part = kBytes / threads, piece = part < (size_t{4} << 20) ? part : size_t{4} << 20;
  std::vector<size_t> places(threads, 0);
  return together(threads, 2 * kLength, [&](int thread) {
    size_t& place = places[thread];
    if (place + piece > part) place = 0;
    std::memcpy(&to[thread * part + place], &from[thread * part + place], piece);
    place += piece;
    return 2.0 * piece;
  });
}

int main() {
#ifdef __AMX_TILE__
  if (!tiles::available()) return 1;
#endif
  std::vector<char> from(kBytes, 1), to(kBytes, 2);
  int threads = 0;
  while (std::scanf("%d", &threads) == 1 && threads > 0) {
    std::printf("%.0f", RUN(FLOAT, 1));
#if defined(__AMX_TILE__)
    std::printf(" %.0f", RUN_TILES(TILE_BF16, 2));
    std::printf(" %.0f", RUN_TILES(TILE_INT8, 4));
#else
#ifdef __AVX512BF16__
    std::printf(" %.0f", RUN(BF16, 2));
#endif
#ifdef __AVX512VNNI__
    std::printf(" %.0f", RUN(INT8, 4));
#endif
#endif
    std::printf(" %.0f\n", copied(threads, from, to));
    std::fflush(stdout);
  }
  return 0;
}
