// Line buffers: the last few rows of one tensor, in a ring.
//
// A row is planes x (margin, columns, slack) lanes. The margin and what follows the last column are the border of the
// image where the buffer reaches it: zeros, or a mirror. One more row, never written, is the border above and below.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "lanes.h"

namespace rows {

constexpr int kMargin = 16;               // lanes before the first column; a cache line
constexpr int kSlack = 2 * kTile + 64;    // lanes after the last: what whole tiles read and write beyond it

enum class Border { kZero, kReflect };

// What the planner says of a buffer. Lanes are 32 bits; `zero` is the lane that stands for zeros.
struct BufferPlan {
  int stage;  // that fills it
  int planes;
  int ring;  // rows
  std::uint32_t zero;
  Border border;
};

// Rows that lie one below the other in the image, from some column on.
template <class Lane, int KY>
struct Window {
  const Lane* row[KY];
  std::ptrdiff_t plane;  // lanes from one channel plane to the next

  Window from(std::ptrdiff_t column) const {
    Window moved = *this;
    for (const Lane*& pixels : moved.row) pixels += column;
    return moved;
  }
};

class LineBuffer {
 public:
  LineBuffer(const BufferPlan& plan, int columns) : plan_(plan) {
    // An odd number of cache lines a plane spreads the planes over all sets of the cache.
    plane_ = ((kMargin + columns + kSlack + 15) / 16 | 1) * 16;
    lanes_ = static_cast<std::size_t>(plane_) * plan.planes * (plan.ring + 1);
    memory_ = static_cast<std::uint32_t*>(::operator new(bytes(), std::align_val_t{64}));
    std::fill(memory_, memory_ + lanes_, plan.zero);
  }
  ~LineBuffer() { ::operator delete(memory_, std::align_val_t{64}); }
  LineBuffer(const LineBuffer&) = delete;
  LineBuffer& operator=(const LineBuffer&) = delete;

  std::size_t bytes() const { return lanes_ * sizeof(std::uint32_t); }

  // Which part of the image it holds from now on: columns first..last-1 of a tensor of this size.
  void cover(int height, int width, int first, int last) {
    height_ = height, width_ = width, first_ = first, last_ = last;
  }

  // Rows `row`, row + 1, ... from the image's column 0 on; columns it does not hold must not be read.
  template <class Lane, int KY>
  Window<Lane, KY> window(int row) const {
    Window<Lane, KY> found;
    for (int ky = 0; ky < KY; ++ky) found.row[ky] = line<Lane>(source(row + ky)) - first_;
    found.plane = plane_;
    return found;
  }

  // Where to write `row`, from the image's column 0 on.
  template <class Lane>
  Lane* row(int row) {
    return line<Lane>(row % plan_.ring) - first_;
  }
  std::ptrdiff_t plane() const { return plane_; }

  // Makes the border to the left and right of a row that was written.
  void finish(int row) {
    std::uint32_t* begin = line<std::uint32_t>(row % plan_.ring);
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
  // Where in the ring a row of the image is; above and below it, the mirrored row or the one of zeros.
  int source(int row) const {
    if (row >= 0 && row < height_) return row % plan_.ring;
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
