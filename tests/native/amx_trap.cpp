// To be preloaded: executes the AMX instructions of a program on a CPU that does not have them, or in a process that
// has no permission to use them, where they raise SIGILL. Checks what the CPU would refuse, and writes how many of each
// kind were executed to the file $AMX_COUNTS.
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

enum Kind { kConfigure, kSaveConfiguration, kRelease, kZero, kLoad, kStore, kBf16, kInt8, kKinds };
const char* const kNames[] = {"ldtilecfg", "sttilecfg", "tilerelease", "tilezero",
                              "tileloadd", "tilestored", "tdpbf16ps",  "tdpbsud"};
std::atomic<long> counts[kKinds];

struct State {
  std::uint8_t configuration[64];
  std::uint32_t tile[8][16][16];
  int rows(int i) const { return configuration[48 + i]; }
  int bytes(int i) const { return configuration[16 + 2 * i] | configuration[17 + 2 * i] << 8; }
};
thread_local State state;

[[noreturn]] void refuse(const char* why) {
  static_cast<void>(!write(2, why, std::strlen(why)));
  _exit(70);
}

std::uint64_t general_register(const ucontext_t* context, int number) {
  static const int order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<std::uint64_t>(context->uc_mcontext.gregs[order[number]]);
}

// The memory operand of an instruction: for tiles, the index register is the distance between rows.
struct Operand {
  std::uint8_t* base;
  std::int64_t stride;
  int length;  // bytes of ModRM, SIB and displacement
};

Operand memory_operand(const std::uint8_t* modrm, bool x, bool b, const ucontext_t* context) {
  const int mode = *modrm >> 6, rm = *modrm & 7;
  Operand found{nullptr, 0, 1};
  std::uint64_t base = 0;
  int displacement = mode == 1 ? 1 : mode == 2 ? 4 : 0;
  if (rm == 4) {
    const int sib = modrm[1], index = (sib >> 3 & 7) | (x ? 8 : 0);
    found.length = 2;
    if (index != 4) found.stride = static_cast<std::int64_t>(general_register(context, index) << (sib >> 6));
    if (mode == 0 && (sib & 7) == 5) displacement = 4;
    else base = general_register(context, (sib & 7) | (b ? 8 : 0));
  } else if (mode == 0 && rm == 5) {  // relative to the next instruction; no immediate follows
    displacement = 4;
    base = reinterpret_cast<std::uint64_t>(modrm) + 5;
  } else {
    base = general_register(context, rm | (b ? 8 : 0));
  }
  std::int32_t offset = 0;
  if (displacement == 1) offset = static_cast<std::int8_t>(modrm[found.length]);
  if (displacement == 4) std::memcpy(&offset, modrm + found.length, 4);
  found.length += displacement;
  found.base = reinterpret_cast<std::uint8_t*>(base + static_cast<std::int64_t>(offset));
  return found;
}

void configure(const std::uint8_t* from) {
  std::memset(&state, 0, sizeof state);
  if (from[0] == 0) return;
  std::memcpy(state.configuration, from, sizeof state.configuration);
  bool valid = from[0] == 1 && from[1] == 0;
  for (int i = 2; i < 64; ++i)
    if (i < 16 || (i >= 32 && i < 48) || i >= 56) valid = valid && from[i] == 0;
  for (int i = 0; i < 8; ++i)
    valid = valid && state.rows(i) <= 16 && state.bytes(i) <= 64 && (state.rows(i) == 0) == (state.bytes(i) == 0);
  if (!valid) refuse("not a configuration of tiles\n");
}

float flushed(float value) { return std::fabs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value; }

float number(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return flushed(value);
}

void dot(Kind kind, int sum, int a, int b) {
  if (!state.rows(sum) || state.rows(sum) != state.rows(a) || state.bytes(sum) != state.bytes(b) ||
      state.bytes(a) != 4 * state.rows(b) || sum == a || sum == b || a == b)
    refuse("a product of tiles that do not fit\n");
  for (int m = 0; m < state.rows(sum); ++m)
    for (int n = 0; n < state.bytes(sum) / 4; ++n) {
      std::uint32_t& result = state.tile[sum][m][n];
      float chain[2] = {0, 0};
      for (int k = 0; k < state.rows(b); ++k) {
        const std::uint32_t left = state.tile[a][m][k], right = state.tile[b][k][n];
        if (kind == kBf16) {
          chain[0] = flushed(std::fma(number(left << 16), number(right << 16), chain[0]));
          chain[1] = flushed(std::fma(number(left & ~0xffffu), number(right & ~0xffffu), chain[1]));
        } else {
          for (int i = 0; i < 32; i += 8)
            result += static_cast<std::uint32_t>(static_cast<std::int8_t>(left >> i) * int(right >> i & 0xff));
        }
      }
      if (kind != kBf16) continue;
      const float total = flushed(number(result) + flushed(chain[0] + chain[1]));
      std::memcpy(&result, &total, 4);
    }
}

Kind kind_of(int opcode, int prefix, bool registers) {
  enum { kNone, k66, kF3, kF2 };
  if (opcode == 0x49 && !registers && prefix == kNone) return kConfigure;
  if (opcode == 0x49 && !registers && prefix == k66) return kSaveConfiguration;
  if (opcode == 0x49 && registers && prefix == kNone) return kRelease;
  if (opcode == 0x49 && registers && prefix == kF2) return kZero;
  if (opcode == 0x4b && !registers && prefix == kF2) return kLoad;
  if (opcode == 0x4b && !registers && prefix == kF3) return kStore;
  if (opcode == 0x5c && registers && prefix == kF3) return kBf16;
  if (opcode == 0x5e && registers && prefix == kF3) return kInt8;
  refuse("an instruction that is not of AMX, or that is not known\n");
}

void execute(int, siginfo_t*, void* raw) {
  auto* const context = static_cast<ucontext_t*>(raw);
  const auto* const code = reinterpret_cast<const std::uint8_t*>(context->uc_mcontext.gregs[REG_RIP]);
  if (code[0] != 0xc4 || (code[1] & 0x1f) != 2) refuse("an instruction that is not of AMX\n");
  const std::uint8_t* const modrm = code + 4;
  const bool registers = *modrm >> 6 == 3;
  const Kind kind = kind_of(code[3], code[2] & 3, registers);
  const int tile = *modrm >> 3 & 7;
  Operand memory{nullptr, 0, 1};
  if (!registers) memory = memory_operand(modrm, !(code[1] & 0x40), !(code[1] & 0x20), context);
  if (kind == kConfigure) configure(memory.base);
  if (kind == kSaveConfiguration) std::memcpy(memory.base, state.configuration, 64);
  if (kind == kRelease) std::memset(&state, 0, sizeof state);
  if ((kind == kZero || kind == kLoad || kind == kStore) && !state.rows(tile)) refuse("a tile without a shape\n");
  if (kind == kZero || kind == kLoad) std::memset(state.tile[tile], 0, sizeof state.tile[tile]);
  for (int row = 0; (kind == kLoad || kind == kStore) && row < state.rows(tile); ++row) {
    std::uint8_t* const there = memory.base + row * memory.stride;
    if (kind == kLoad) std::memcpy(state.tile[tile][row], there, state.bytes(tile));
    else std::memcpy(there, state.tile[tile][row], state.bytes(tile));
  }
  if (kind == kBf16 || kind == kInt8) dot(kind, tile, *modrm & 7, ~code[2] >> 3 & 7);
  ++counts[kind];
  context->uc_mcontext.gregs[REG_RIP] += 4 + memory.length;
}

struct Trap {
  Trap() {
    struct sigaction action = {};
    action.sa_sigaction = execute;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGILL, &action, nullptr);
  }
  ~Trap() {
    const char* const path = std::getenv("AMX_COUNTS");
    std::FILE* const file = path ? std::fopen(path, "w") : nullptr;
    if (!file) return;
    for (int kind = 0; kind < kKinds; ++kind) std::fprintf(file, "%s %ld\n", kNames[kind], counts[kind].load());
    std::fclose(file);
  }
} trap;

}  // namespace
