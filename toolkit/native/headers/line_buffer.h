// Line buffers: a ring of the latest rows of one tensor.
//
// A row consists of planes x (margin, columns, slack) lanes. At the left and right edge of the image, the margin and
// the lanes after the last column hold its border: zeros or a reflection. One additional row, which is never written,
// is the zero border above and below the image.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "lanes.h"

namespace rows {

constexpr int kMargin = 16;               // lanes before the first column: one cache line
constexpr int kSlack = 2 * kTile + 64;    // lanes after the last column, which whole tiles read and write

enum class Border { kZero, kReflect };

// A buffer as planned. Lanes have 32 bits; `zero` is the lane with the value zero in all channels.
struct BufferPlan {
  int stage;  // that writes it
  int planes;
  int ring;  // rows
  std::uint32_t zero;
  Border border;
};

// KY consecutive rows of the image, from some column on.
template <class Lane, int KY>
struct Window {
  const Lane* row[KY];
  std::ptrdiff_t plane;  // lanes between channel planes

  Window from(std::ptrdiff_t column) const {
    Window moved = *this;
    for (const Lane*& pixels : moved.row) pixels += column;
    return moved;
  }
};

class LineBuffer {
 public:
  LineBuffer(const BufferPlan& plan, int columns) : plan_(plan) {
    // An odd number of cache lines per plane distributes the planes over all sets of the cache: with a power of two,
    // the same column of all planes would fall into the same few sets.
    plane_ = ((kMargin + columns + kSlack + 15) / 16 | 1) * 16;
    lanes_ = static_cast<std::size_t>(plane_) * plan.planes * (plan.ring + 1);
    memory_ = static_cast<std::uint32_t*>(::operator new(bytes(), std::align_val_t{64}));
    std::fill(memory_, memory_ + lanes_, plan.zero);
  }
  ~LineBuffer() { ::operator delete(memory_, std::align_val_t{64}); }
  LineBuffer(const LineBuffer&) = delete;
  LineBuffer& operator=(const LineBuffer&) = delete;

  std::size_t bytes() const { return lanes_ * sizeof(std::uint32_t); }

  // Sets the part of the image that it holds: columns first..last-1 of a tensor of this size.
  void cover(int height, int width, int first, int last) {
    height_ = height, width_ = width, first_ = first, last_ = last;
  }

  // Rows `row`, row + 1, ..., addressed by image columns; only columns that it holds may be read.
  template <class Lane, int KY>
  Window<Lane, KY> window(int row) const {
    Window<Lane, KY> found;
    for (int ky = 0; ky < KY; ++ky) found.row[ky] = line<Lane>(source(row + ky)) - first_;
    found.plane = plane_;
    return found;
  }

  // Where to write `row`, addressed by image columns. It may be the row above the image, which is not read.
  template <class Lane>
  Lane* row(int row) {
    return line<Lane>(slot(row)) - first_;
  }
  std::ptrdiff_t plane() const { return plane_; }

  // All lanes of a row that it holds, from its first column on, for stages that divide them otherwise than in planes.
  float* lanes(int row) const { return line<float>(row % plan_.ring); }
  int first() const { return first_; }

  // Fills the left and right border of a row that was written.
  void finish(int row) {
    std::uint32_t* begin = line<std::uint32_t>(slot(row));
    const int columns = last_ - first_;
    for (int plane = 0; plane < plan_.planes; ++plane, begin += plane_) {
      std::uint32_t* end = begin + columns;
      if (plan_.border == Border::kReflect) {
        if (first_ == 0)
          for (int i = 1; i < kMargin && i < columns; ++i) begin[-i] = begin[i];
        if (last_ == width_)
          for (int i = 1; i < kMargin && i < columns; ++i) end[i - 1] = end[-1 - i];
      } else if (last_ == width_) {
        std::fill(end, end + kMargin, plan_.zero);
      }
    }
  }

 private:
  int slot(int row) const { return (row + plan_.ring) % plan_.ring; }

  // Index in the ring of an image row; above and below the image, of the reflected row or the zero row.
  int source(int row) const {
    if (row >= 0 && row < height_) return slot(row);
    if (plan_.border == Border::kZero) return plan_.ring;
    return (row < 0 ? -row : 2 * (height_ - 1) - row) % plan_.ring;
  }

  template <class Lane>
  Lane* line(int index) const {
    static_assert(sizeof(Lane) == sizeof(std::uint32_t));
    return reinterpret_cast<Lane*>(memory_ + static_cast<std::ptrdiff_t>(index) * plan_.planes * plane_ + kMargin);
  }

  BufferPlan plan_;
  int plane_ = 0, height_ = 0, width_ = 0, first_ = 0, last_ = 0;
  std::size_t lanes_ = 0;
  std::uint32_t* memory_ = nullptr;
};

}  // namespace rows
