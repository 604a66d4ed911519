// An engine computes frames in bands of rows, one per thread.
#pragma once
#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "band.h"
#include "pool.h"

namespace rows {

// Line buffers for one plan, and the division of a frame among threads.
class Bands {
 public:
  Bands(const NetworkPlan& plan, int height, int width, int threads) : plan_(plan), height_(height), width_(width) {
    // A band recomputes about `halo` rows of its neighbours; a band shorter than that would not be worth a thread.
    count_ = std::max(1, std::min(threads, last_rows(height) / std::max(1, plan.halo)));
    for (int i = 0; i < count_; ++i) idle_.push_back(std::make_unique<Band>(plan, height, width));
    parts_ = idle_.back()->parts();
    bytes_ = idle_.back()->bytes();
  }

  std::size_t bytes() const { return bytes_; }

  // Computes the output of input rows first..first+count-1 with a pool's threads. False: out of memory.
  bool run(const Ends& ends, int first, int count, Pool& pool) {
    const long long begin = last_rows(first), rows = last_rows(count);
    const auto bound = [&](int i) { return static_cast<int>(begin + rows * i / count_); };
    std::atomic<bool> done{true};
    pool.run(count_ * parts_, [&](int job) {
      const int band = job / parts_, part = job % parts_;
      if (bound(band) == bound(band + 1)) return;  // there are fewer rows than bands
      if (!compute(ends, bound(band), bound(band + 1), part, part + 1)) done = false;
    });
    return done;
  }

  // The same in the calling thread; calls may be concurrent.
  bool run_rows(const Ends& ends, int first, int count) {
    return compute(ends, last_rows(first), last_rows(first + count), 0, parts_);
  }

 private:
  // Rows of the last stage, of which there are more than input rows if it comes after an upsampling.
  int last_rows(int input_rows) const {
    return input_rows / plan_.unit * plan_.stages[plan_.stage_count - 1].num;
  }

  bool compute(const Ends& ends, int first, int last, int first_part, int last_part) {
    try {
      std::unique_ptr<Band> own = take();
      for (int part = first_part; part < last_part; ++part) own->compute(ends, first, last, part);
      give(std::move(own));
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  std::unique_ptr<Band> take() {
    {
      const std::lock_guard<std::mutex> lock(waiting_);
      if (!idle_.empty()) {
        std::unique_ptr<Band> found = std::move(idle_.back());
        idle_.pop_back();
        return found;
      }
    }
    return std::make_unique<Band>(plan_, height_, width_);
  }

  void give(std::unique_ptr<Band> band) {
    const std::lock_guard<std::mutex> lock(waiting_);
    idle_.push_back(std::move(band));
  }

  const NetworkPlan& plan_;
  int height_, width_, count_, parts_;
  std::size_t bytes_;
  std::mutex waiting_;
  std::vector<std::unique_ptr<Band>> idle_;
};

class Engine {
 public:
  // `video_plan`: of the same network, for `run_video`.
  Engine(const NetworkPlan& plan, const NetworkPlan& video_plan, int height, int width, int threads)
      : plan_(plan), video_plan_(video_plan), height_(height), width_(width), threads_(threads), pool_(threads),
        bands_(plan, height, width, threads) {}

  int height() const { return height_; }
  int width() const { return width_; }
  int unit() const { return plan_.unit; }
  int scale() const { return plan_.scale; }
  std::size_t bytes() const { return bands_.bytes(); }

  // Computes the whole frame with the engine's threads; concurrent calls wait for each other. False: out of memory.
  bool run(const void* input, void* output) {
    const std::lock_guard<std::mutex> lock(running_);
    return bands_.run({input, output, nullptr, nullptr}, 0, height_, pool_);
  }

  // Computes the output of input rows first..first+count-1 in the calling thread; calls may be concurrent.
  bool run_rows(const void* input, void* output, int first, int count) {
    return bands_.run_rows({input, output, nullptr, nullptr}, first, count);
  }

  // Computes the output of some input rows as `run` does, for video frames of even height and width. Without pointers
  // to chroma, only luma is written.
  bool run_video(const rt4ksr_yuv420& input, const rt4ksr_yuv420& output, int first, int count) {
    const std::lock_guard<std::mutex> lock(running_);
    const Video from(input), to(output);
    const Ends ends{nullptr, nullptr, &from, &to};
    if (output.cb == nullptr) return bands_.run(ends, first, count, pool_);
    try {
      if (video_bands_ == nullptr) video_bands_ = std::make_unique<Bands>(video_plan_, height_, width_, threads_);
    } catch (const std::bad_alloc&) {
      return false;
    }
    return video_bands_->run(ends, first, count, pool_);
  }

 private:
  const NetworkPlan &plan_, &video_plan_;
  int height_, width_, threads_;
  Pool pool_;
  Bands bands_;
  std::unique_ptr<Bands> video_bands_;  // when a video frame is first computed
  std::mutex running_;
};

}  // namespace rows
