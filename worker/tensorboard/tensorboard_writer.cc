// SPDX-License-Identifier: Apache-2.0
#include "worker/tensorboard/tensorboard_writer.h"

#include <utility>

#include "common/base/logging.h"
#include "common/base/mutex.h"
#include "worker/tensorboard/tensorboard_event.h"
#include "worker/tensorboard/tensorboard_file.h"

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
class TensorboardWriter::Queue {
 public:
  Queue(const std::filesystem::path& folder, std::uint64_t next_step, std::size_t most_pending_bytes,
        const Clock& clock)
      : folder_(folder.string()), most_pending_bytes_(most_pending_bytes), file_(folder, next_step, clock) {}

  void Offer(std::uint64_t step, const std::string& record) {
    {
      MutexLock lock(mutex_);
      if (pending_.records.size() + record.size() <= most_pending_bytes_) {
        pending_.records += record;
        pending_.last_step = step;
        ++pending_.steps;
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
        writing_ = 0;
        changed_.notify_all();
        changed_.wait(mutex_, [this]() FERMENT_REQUIRES(mutex_) { return pending_.steps > 0 || leaving_; });
        if (pending_.steps == 0) return;
        std::swap(batch, pending_);
        writing_ = batch.steps;
      }
      const Status written = file_.Append(batch.records, batch.last_step);
      if (!written.ok()) Drop(batch.steps, written.message());
    }
  }

  /// Returns: whether the thread is at its end, or will be without waiting for a disk.
  bool Leave(std::chrono::milliseconds patience) {
    MutexLock lock(mutex_);
    leaving_ = true;
    changed_.notify_all();
    const auto idle = [this]() FERMENT_REQUIRES(mutex_) { return pending_.steps == 0 && writing_ == 0; };
    if (changed_.wait_for(mutex_, patience, idle)) return true;
    given_up_ = true;
    dropped_ += writing_ + std::exchange(pending_, {}).steps;
    return false;
  }

  std::uint64_t dropped() const {
    MutexLock lock(mutex_);
    return dropped_;
  }
  const std::string& folder() const { return folder_; }

 private:
  void Drop(std::uint64_t steps, std::string_view why) {
    {
      MutexLock lock(mutex_);
      // They are counted, and in a process at its end nothing may be there to log with.
      if (given_up_) return;
      dropped_ += steps;
      if (std::exchange(warned_, true)) return;
    }
    LogWarning("tensorboard_not_written",
               {{"folder", folder_},
                {"error", why},
                {"next", "training goes on; steps are left out here, not in the curve, until they can be written"}});
  }

  // Constant after construction.
  const std::string folder_;
  const std::size_t most_pending_bytes_;
  // The thread's.
  TensorboardFile file_;
  // Under mutex_.
  mutable Mutex mutex_;
  CondVar changed_;
  Batch pending_ FERMENT_GUARDED_BY(mutex_);
  /// Steps of which the outcome is not known yet.
  std::uint64_t writing_ FERMENT_GUARDED_BY(mutex_) = 0;
  bool leaving_ FERMENT_GUARDED_BY(mutex_) = false;
  bool given_up_ FERMENT_GUARDED_BY(mutex_) = false;
  bool warned_ FERMENT_GUARDED_BY(mutex_) = false;
  std::uint64_t dropped_ FERMENT_GUARDED_BY(mutex_) = 0;
};

TensorboardWriter::TensorboardWriter(const std::filesystem::path& folder, std::uint64_t next_step,
                                     const TensorboardOptions& options, const Clock& clock)
    : clock_(clock),
      farewell_(options.farewell),
      queue_(std::make_shared<Queue>(folder, next_step, options.most_pending_bytes, clock)),
      thread_([queue = queue_] { queue->Write(); }) {}

TensorboardWriter::~TensorboardWriter() {
  if (!queue_->Leave(farewell_)) thread_.detach();
  if (dropped() > 0) LogInfo("tensorboard_incomplete", {{"folder", queue_->folder()}, {"steps_left_out", dropped()}});
}

void TensorboardWriter::Write(std::uint64_t step, const std::map<std::string, double>& figures) {
  std::map<std::string, double> scalars;
  for (const auto& [name, value] : figures) scalars.emplace(TagOf(name), value);
  queue_->Offer(step, ScalarsRecord(clock_.WallNow(), step, scalars));
}

std::uint64_t TensorboardWriter::dropped() const { return queue_->dropped(); }

}  // namespace ferment::worker
