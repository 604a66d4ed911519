// A thread pool. Not OpenMP, whose settings and threads an application would share with the engine.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace rows {

class Pool {
 public:
  // The caller of `run` is one of the threads.
  explicit Pool(int threads) {
    try {
      for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Pool() { stop(); }

  // Runs job(0) .. job(jobs - 1), each once, and returns when all are done. Must not be called concurrently.
  void run(int jobs, const std::function<void(int)>& job) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job, jobs_ = jobs, next_ = 0, busy_ = static_cast<int>(workers_.size());
      ++round_;
    }
    begin_.notify_all();
    take_jobs();
    std::unique_lock<std::mutex> lock(mutex_);
    end_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void take_jobs() {
    for (int i = next_++; i < jobs_; i = next_++) (*job_)(i);
  }

  void work() {
    long seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      begin_.wait(lock, [&] { return stopping_ || round_ != seen; });
      if (stopping_) return;
      seen = round_;
      lock.unlock();
      take_jobs();
      lock.lock();
      if (--busy_ == 0) end_.notify_one();
    }
  }

  void stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    begin_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  std::mutex mutex_;
  std::condition_variable begin_, end_;
  const std::function<void(int)>* job_ = nullptr;
  int jobs_ = 0, busy_ = 0;
  long round_ = 0;
  bool stopping_ = false;
  std::atomic<int> next_{0};
  std::vector<std::thread> workers_;
};

}  // namespace rows
