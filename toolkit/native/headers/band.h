// Demand-driven schedule: a row is computed when a later stage needs it.
//
// To write rows of the output, the last stage requests the rows it reads from earlier stages, these request the rows
// they read, and so on up to the input. Each row is computed once, and its line buffer keeps it until all readers are
// past it.
#pragma once
#include <memory>
#include <vector>

#include "line_buffer.h"
#include "video.h"

namespace rows {

// Row r of a stage reads rows r * num / den + row_first .. r * num / den + row_last of a buffer, and columns likewise.
// Of a stage that computes several rows at once, r is the first of them, and these are the rows for all.
struct Source {
  int buffer, num, den;
  int row_first, row_last, column_first, column_last;
};

class Band;

// A stage computes rows of one or more buffers, or of the output.
struct StagePlan {
  int num, den;  // its height and width: the input's times num / den
  const Source* sources;
  int source_count;
  int rows;   // that are computed at once; the first may be above the image, and the last below it
  int phase;  // the first of two rows is even plus this
  void (*compute)(Band&, int row);
};

struct NetworkPlan {
  const StagePlan* stages;  // in an order in which every stage reads only earlier ones; the last writes the output
  int stage_count;
  const BufferPlan* buffers;
  int buffer_count;
  int scale;         // of the output's height and width
  int unit;          // input rows per row of the last stage
  int tile_columns;  // columns of the last stage per tile, so that line buffers stay in the cache
  int halo;          // rows of the last stage that a band reads beyond its own
  int scratch;       // floats that one stage needs at a time: whole cache lines
};

// Progress of a stage in the current part of the frame: columns first..last-1, rows from `next` on.
struct Progress {
  int height, width, first, last, next;
};

// Where a frame comes from and goes to: pointers to frames of the network's ports, or video frames.
struct Ends {
  const void* input = nullptr;
  void* output = nullptr;
  const Video* video_input = nullptr;
  const Video* video_output = nullptr;
};

struct alignas(64) CacheLine {
  float lanes[16];
};

// Line buffers of one thread, and the part of the frame that it computes with them.
class Band {
 public:
  Band(const NetworkPlan& plan, int height, int width)
      : plan_(plan), progress_(plan.stage_count), scratch_(plan.scratch / 16) {
    for (int i = 0; i < plan.stage_count; ++i) {
      progress_[i].height = static_cast<int>(static_cast<long long>(height) * plan.stages[i].num / plan.stages[i].den);
      progress_[i].width = static_cast<int>(static_cast<long long>(width) * plan.stages[i].num / plan.stages[i].den);
    }
    std::vector<int> columns(plan.stage_count, 0);
    for (int part = 0; part < parts(); ++part) {
      place(0, part);
      for (int i = 0; i < plan.stage_count; ++i)
        columns[i] = std::max(columns[i], progress_[i].last - progress_[i].first);
    }
    for (int i = 0; i < plan.buffer_count; ++i)
      buffers_.push_back(std::make_unique<LineBuffer>(plan.buffers[i], columns[plan.buffers[i].stage]));
  }

  // Number of parts that the width is divided into.
  int parts() const { return (progress_.back().width + plan_.tile_columns - 1) / plan_.tile_columns; }

  std::size_t bytes() const {
    std::size_t sum = scratch_.size() * sizeof(CacheLine);
    for (const auto& buffer : buffers_) sum += buffer->bytes();
    return sum;
  }

  // Compute rows first..last-1 of the last stage, in one part of the width.
  void compute(const Ends& ends, int first, int last, int part) {
    ends_ = ends;
    place(first, part);
    const StagePlan& end = plan_.stages[plan_.stage_count - 1];
    const int luma = plan_.scale * end.den / end.num;  // rows and columns of the output for each of the last stage
    own_ = {first * luma, last * luma, progress_.back().first * luma, progress_.back().last * luma};
    for (int i = 0; i < plan_.buffer_count; ++i) {
      const Progress& stage = progress_[plan_.buffers[i].stage];
      buffers_[i]->cover(stage.height, stage.width, stage.first, stage.last);
    }
    need(plan_.stage_count - 1, last - 1);
  }

  // For stages:
  const Ends& ends() const { return ends_; }
  const Extent& own() const { return own_; }
  const Progress& at(int stage) const { return progress_[stage]; }
  LineBuffer& buffer(int index) { return *buffers_[index]; }

  // Memory for one call of a stage, at the beginning of a cache line. It is too much for the stacks of some threads.
  float* scratch() { return scratch_.data()->lanes; }

  // A buffer that only the plan for video has; null in the other.
  LineBuffer* video_buffer(int index) { return index < plan_.buffer_count ? buffers_[index].get() : nullptr; }

 private:
  // Sets the first row and the columns of every stage, from the last stage to the first: a stage covers everything that
  // its readers need.
  void place(int row, int part) {
    for (Progress& stage : progress_) stage.first = stage.width, stage.last = 0, stage.next = stage.height;
    Progress& end = progress_.back();
    end.first = static_cast<int>(static_cast<long long>(end.width) * part / parts());
    end.last = static_cast<int>(static_cast<long long>(end.width) * (part + 1) / parts());
    end.next = row;
    for (int i = plan_.stage_count - 1; i >= 0; --i) {
      progress_[i].first -= progress_[i].first % plan_.stages[i].rows;
      progress_[i].next -= (progress_[i].next + plan_.stages[i].phase) % plan_.stages[i].rows;
      const Progress reader = progress_[i];
      for (int k = 0; k < plan_.stages[i].source_count; ++k) {
        const Source& source = plan_.stages[i].sources[k];
        Progress& read = progress_[plan_.buffers[source.buffer].stage];
        const int left = reader.first * source.num / source.den + source.column_first;
        const int right = (reader.last - 1) * source.num / source.den + source.column_last + 1;
        read.first = std::min(read.first, std::max(left, 0));
        read.last = std::max(read.last, std::min(right, read.width));
        read.next = std::min(read.next, std::max(reader.next * source.num / source.den + source.row_first, 0));
      }
    }
  }

  // Computes rows of a stage up to and including `row`.
  void need(int stage, int row) {
    Progress& progress = progress_[stage];
    const StagePlan& plan = plan_.stages[stage];
    for (; progress.next <= row; progress.next += plan.rows) {
      for (int k = 0; k < plan.source_count; ++k) {
        const Source& source = plan.sources[k];
        const int read = plan_.buffers[source.buffer].stage;
        const int last = progress.next * source.num / source.den + source.row_last;
        need(read, std::min(last, progress_[read].height - 1));
      }
      plan.compute(*this, progress.next);
    }
  }

  const NetworkPlan& plan_;
  std::vector<Progress> progress_;
  std::vector<std::unique_ptr<LineBuffer>> buffers_;
  std::vector<CacheLine> scratch_;
  Ends ends_;
  Extent own_{};
};

}  // namespace rows
