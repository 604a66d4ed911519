// What both implementations of the tile registers have in common: tiles_amx.h and tiles_emulated.h.
#pragma once
#include <cstdint>

namespace tiles {

constexpr int kRegisters = 8;
constexpr int kRows = 16;   // of a register
constexpr int kLanes = 16;  // 32-bit lanes of a row

// Shapes of the registers, in the format that LDTILECFG reads.
struct alignas(64) Configuration {
  std::uint8_t palette = 0;  // 0: the registers are not in use
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes[16] = {};  // per row
  std::uint8_t rows[16] = {};
};
static_assert(sizeof(Configuration) == 64);

}  // namespace tiles
