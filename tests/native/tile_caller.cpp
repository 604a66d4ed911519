// A program that uses tile registers itself, and calls an engine in between: they must be as they were.
#include <cstdio>
#include <cstring>
#include <vector>

#include "engine.h"
#include "tiles_amx.h"

#define JOINED(a, b) a##_##b
#define JOIN(a, b) JOINED(a, b)
#define CALL(name) JOIN(SYMBOL, name)

template <int... Tile>
void load(const std::uint8_t (&contents)[8][1024], std::integer_sequence<int, Tile...>) {
  (tiles::load<Tile>(contents[Tile], 64), ...);
}

template <int... Tile>
void store(std::uint8_t (&contents)[8][1024], std::integer_sequence<int, Tile...>) {
  (tiles::store<Tile>(contents[Tile], 64), ...);
}

int main() {
  constexpr auto used = std::make_integer_sequence<int, 7>();  // the last one has no shape
  tiles::Configuration shapes, after;
  shapes.palette = 1;
  static std::uint8_t expected[8][1024], found[8][1024];
  for (int tile = 0; tile < 7; ++tile) {
    shapes.rows[tile] = tile + 5, shapes.bytes[tile] = 4 * (tile + 2);
    for (int row = 0; row < shapes.rows[tile]; ++row)
      for (int i = 0; i < shapes.bytes[tile]; ++i) expected[tile][64 * row + i] = 37 * tile + 11 * row + i;
  }
  CALL(engine)* engine = nullptr;
  if (CALL(create)(&engine, 8, 8, 1) != CALL(ok)) return 3;
  const std::vector<float> input(3 * 8 * 8);
  std::vector<float> output(3 * 16 * 16);
  {
    const tiles::Scope scope(shapes);
    load(expected, used);
    if (CALL(run_rows)(engine, input.data(), output.data(), 0, 8) != CALL(ok)) return 4;
    __asm__ volatile("sttilecfg %0" : "=m"(after));
    store(found, used);
  }
  if (std::memcmp(&shapes, &after, sizeof shapes) != 0) return 5;
  if (std::memcmp(expected, found, sizeof expected) != 0) return 6;
  if (CALL(run_rows)(engine, input.data(), output.data(), 0, 8) != CALL(ok)) return 7;
  __asm__ volatile("sttilecfg %0" : "=m"(after));
  if (after.palette != 0) return 8;  // released
  CALL(destroy)(engine);
  return 0;
}
