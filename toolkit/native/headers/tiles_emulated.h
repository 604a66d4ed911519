// The tile registers of tiles_amx.h in portable C++, bit for bit: for tests on machines without AMX.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "tiles.h"

namespace tiles {

inline bool available() { return true; }

struct Registers {
  Configuration shapes;
  std::uint32_t lanes[kRegisters][kRows][kLanes];
};
inline thread_local Registers registers;

template <int Tile>
inline void load(const void* from, std::ptrdiff_t stride) {
  const Configuration& shapes = registers.shapes;
  std::memset(registers.lanes[Tile], 0, sizeof registers.lanes[Tile]);
  for (int row = 0; row < shapes.rows[Tile]; ++row)
    std::memcpy(registers.lanes[Tile][row], static_cast<const char*>(from) + row * stride, shapes.bytes[Tile]);
}

template <int Tile>
inline void store(void* to, std::ptrdiff_t stride) {
  const Configuration& shapes = registers.shapes;
  for (int row = 0; row < shapes.rows[Tile]; ++row)
    std::memcpy(static_cast<char*>(to) + row * stride, registers.lanes[Tile][row], shapes.bytes[Tile]);
}

template <int Tile>
inline void zero() {
  std::memset(registers.lanes[Tile], 0, sizeof registers.lanes[Tile]);
}

inline float flushed(float value) {
  return std::fabs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
}

inline float as_float(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return flushed(value);
}

// Sums of products over k for every element, by a function of the sum so far and the lanes of A and B.
template <int Sum, int A, int B, class Function>
inline void products(Function function) {
  const Configuration& shapes = registers.shapes;
  for (int m = 0; m < shapes.rows[A]; ++m)
    for (int n = 0; n < shapes.bytes[B] / 4; ++n)
      function(registers.lanes[Sum][m][n], registers.lanes[A][m], &registers.lanes[B][0][n], shapes.bytes[A] / 4);
}

template <int Sum, int A, int B>
inline void dot_bf16() {
  products<Sum, A, B>([](std::uint32_t& sum, const std::uint32_t* a, const std::uint32_t* b, int count) {
    float first = 0, second = 0;
    for (int k = 0; k < count; ++k, b += kLanes) {
      first = flushed(std::fma(as_float(a[k] << 16), as_float(*b << 16), first));
      second = flushed(std::fma(as_float(a[k] & 0xffff0000u), as_float(*b & 0xffff0000u), second));
    }
    const float result = flushed(as_float(sum) + flushed(first + second));
    std::memcpy(&sum, &result, sizeof sum);
  });
}

template <int Sum, int A, int B>
inline void dot_int8() {
  products<Sum, A, B>([](std::uint32_t& sum, const std::uint32_t* a, const std::uint32_t* b, int count) {
    for (int k = 0; k < count; ++k, b += kLanes)
      for (int i = 0; i < 32; i += 8)
        sum += static_cast<std::uint32_t>(static_cast<std::int8_t>(a[k] >> i) * static_cast<std::uint8_t>(*b >> i));
  });
}

class Scope {
 public:
  explicit Scope(const Configuration& shapes) : before_(registers) { registers.shapes = shapes; }
  ~Scope() { registers = before_; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Registers before_;
};

}  // namespace tiles
