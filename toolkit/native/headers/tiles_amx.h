// Tile registers of AMX. Assembler instead of intrinsics: these take register numbers as literals only, not as template
// arguments, and those of some compilers do not say that they read memory.
#pragma once
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "tiles.h"

namespace tiles {

// Whether the CPU has tiles with bf16 and int8 arithmetic, and the kernel lets this process use them. Linux reserves
// memory for the registers of a process when it asks for permission.
inline bool available() {
  unsigned a, b, c, d;
  constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24, kInt8 = 1u << 25;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || ~d & (kBf16 | kTiles | kInt8)) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// Tile = rows from memory. `stride`: bytes between rows.
template <int Tile>
inline void load(const void* from, std::ptrdiff_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(Tile) : "memory");
}

template <int Tile>
inline void store(void* to, std::ptrdiff_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(Tile) : "memory");
}

template <int Tile>
inline void zero() {
  __asm__ volatile("tilezero %%tmm%c0" ::"i"(Tile));
}

// Sum[m][n] += sum over k of A[m][k] * B[k][n], lanes being pairs of bf16. The products of the first and those of the
// second halves are added in order of k, each starting from zero; then Sum += first + second. All sums are rounded to
// nearest, ties to even; denormal operands and results count as zero.
template <int Sum, int A, int B>
inline void dot_bf16() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sum), "i"(A), "i"(B));
}

// The same for lanes of four bytes, signed in A and unsigned in B, and exact int32 sums.
template <int Sum, int A, int B>
inline void dot_int8() {
  __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sum), "i"(A), "i"(B));
}

// Sets the shapes of the registers of this thread. At the end they are as they were before, contents included, since
// the thread may belong to a program that uses tiles itself; if it did not use them, they are released.
class Scope {
 public:
  explicit Scope(const Configuration& shapes) {
    __asm__ volatile("sttilecfg %0" : "=m"(before_));
    if (before_.palette != 0) each([this](auto tile) { store<tile>(contents_[tile], kLanes * 4); });
    configure(shapes);
  }
  ~Scope() {
    if (before_.palette == 0) {
      __asm__ volatile("tilerelease");
      return;
    }
    configure(before_);
    each([this](auto tile) { load<tile>(contents_[tile], kLanes * 4); });
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  static void configure(const Configuration& shapes) { __asm__ volatile("ldtilecfg %0" ::"m"(shapes)); }

  // Calls a function for every register that was in use.
  template <class Function>
  void each(Function function) {
    each(function, std::make_integer_sequence<int, kRegisters>());
  }
  template <class Function, int... Tile>
  void each(Function function, std::integer_sequence<int, Tile...>) {
    ((before_.rows[Tile] != 0 ? function(std::integral_constant<int, Tile>()) : void()), ...);
  }

  Configuration before_;
  std::uint8_t contents_[kRegisters][kRows * kLanes * 4];  // not written unless the registers were in use
};

}  // namespace tiles
