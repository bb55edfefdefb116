// SPDX-License-Identifier: Apache-2.0
#include "worker/curve/background_writer.h"

#include <optional>
#include <utility>

#include "common/base/mutex.h"

namespace ferment::worker {
namespace {

/// Records of one step after the other, to be written at once.
struct Batch {
  std::string records;
  std::uint64_t last_step = 0;
  std::uint64_t steps = 0;
};

}  // namespace

/// What the training and the thread share.
class BackgroundWriter::Queue {
 public:
  Queue(std::string name, LogField where, std::unique_ptr<RecordFile> file, std::size_t most_pending_bytes)
      : name_(std::move(name)),
        where_(std::move(where)),
        most_pending_bytes_(most_pending_bytes),
        file_(std::move(file)) {}

  void Offer(std::uint64_t step, std::string_view record) {
    {
      MutexLock lock(mutex_);
      if (pending_.records.size() + record.size() <= most_pending_bytes_) {
        pending_.records += record;
        pending_.last_step = step;
        ++pending_.steps;
        ++offered_;
        changed_.notify_all();
        return;
      }
    }
    Drop(1, "the disk is slower than the training");
  }

  /// The thread's whole life: until it is told to leave and all is written, or nobody waits for it any more.
  void Write() {
    for (;;) {
      Batch batch;
      {
        MutexLock lock(mutex_);
        changed_.wait(mutex_, [this]() FERMENT_REQUIRES(mutex_) { return pending_.steps > 0 || leaving_; });
        if (pending_.steps == 0) return;
        std::swap(batch, pending_);
      }
      const Status written = file_->Append(batch.records, batch.last_step);
      if (!written.ok()) Drop(batch.steps, written.message());
      MutexLock lock(mutex_);
      settled_ += batch.steps;
      changed_.notify_all();
    }
  }

  bool Await(std::chrono::milliseconds patience) {
    MutexLock lock(mutex_);
    return WaitFor(offered_, patience);
  }

  /// Returns: whether the thread is at its end, or will be without waiting for a disk.
  bool Leave(std::chrono::milliseconds patience) {
    MutexLock lock(mutex_);
    leaving_ = true;
    changed_.notify_all();
    if (WaitFor(offered_, patience)) return true;
    given_up_ = true;
    dropped_ += offered_ - settled_;
    pending_ = {};
    return false;
  }

  void Farewell() const {
    if (dropped() > 0) LogInfo(name_ + "_incomplete", {where_, {"steps_left_out", dropped()}});
  }

  std::uint64_t dropped() const {
    MutexLock lock(mutex_);
    return dropped_;
  }

 private:
  /// Returns: whether so many steps are settled. Who has waited in vain does not wait again for the same.
  bool WaitFor(std::uint64_t steps, std::chrono::milliseconds patience) FERMENT_REQUIRES(mutex_) {
    if (stuck_at_ == settled_) patience = {};
    const auto settled = [this, steps]() FERMENT_REQUIRES(mutex_) { return settled_ >= steps; };
    if (changed_.wait_for(mutex_, patience, settled)) return true;
    stuck_at_ = settled_;
    return false;
  }

  void Drop(std::uint64_t steps, std::string_view why) {
    {
      MutexLock lock(mutex_);
      // They are counted, and in a process at its end nothing may be there to log with.
      if (given_up_) return;
      dropped_ += steps;
      if (std::exchange(warned_, true)) return;
    }
    LogWarning(
        name_ + "_not_written",
        {where_, {"error", why}, {"next", "training goes on; steps are left out here until they can be written"}});
  }

  // Constant after construction.
  const std::string name_;
  const LogField where_;
  const std::size_t most_pending_bytes_;
  // The thread's.
  const std::unique_ptr<RecordFile> file_;
  // Under mutex_.
  mutable Mutex mutex_;
  CondVar changed_;
  Batch pending_ FERMENT_GUARDED_BY(mutex_);
  /// Steps that were taken, and those of them of which the outcome is known.
  std::uint64_t offered_ FERMENT_GUARDED_BY(mutex_) = 0;
  std::uint64_t settled_ FERMENT_GUARDED_BY(mutex_) = 0;
  std::optional<std::uint64_t> stuck_at_ FERMENT_GUARDED_BY(mutex_);
  bool leaving_ FERMENT_GUARDED_BY(mutex_) = false;
  bool given_up_ FERMENT_GUARDED_BY(mutex_) = false;
  bool warned_ FERMENT_GUARDED_BY(mutex_) = false;
  std::uint64_t dropped_ FERMENT_GUARDED_BY(mutex_) = 0;
};

BackgroundWriter::BackgroundWriter(const std::string& name, const LogField& where, std::unique_ptr<RecordFile> file,
                                   const BackgroundOptions& options)
    : farewell_(options.farewell),
      queue_(std::make_shared<Queue>(name, where, std::move(file), options.most_pending_bytes)),
      thread_([queue = queue_] { queue->Write(); }) {}

BackgroundWriter::~BackgroundWriter() {
  if (!queue_->Leave(farewell_)) thread_.detach();
  queue_->Farewell();
}

void BackgroundWriter::Write(std::uint64_t step, std::string_view record) { queue_->Offer(step, record); }

bool BackgroundWriter::Await(std::chrono::milliseconds patience) const { return queue_->Await(patience); }

std::uint64_t BackgroundWriter::dropped() const { return queue_->dropped(); }

}  // namespace ferment::worker
