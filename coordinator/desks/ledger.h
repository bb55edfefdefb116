// SPDX-License-Identifier: Apache-2.0
//
// JobBook and what was decided but not yet saved: the desks write here, Scheduler saves.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/run_spec.h"
#include "coordinator/core/job_book.h"

namespace ferment::coordinator {

/// Returns: NotFound.
Status NoSuchRun(std::string_view run_id);

/// Record applies at once, so that later decisions of the same batch see earlier ones; nobody outside sees any of it
/// before the batch is saved, and a coordinator that cannot save stops.
///
/// Thread: the scheduler's. What must happen outside (a launch, a file) goes through AfterSave, so that the log always
/// knows first.
class Ledger {
 public:
  const JobBook& book() const { return book_; }
  /// Takes an event that is in the log already.
  void Restore(const Event& event) { book_.Apply(event); }
  void Record(Event event);
  void AfterSave(std::function<void()> effect) { effects_.push_back(std::move(effect)); }

  std::vector<Event> TakeUnsaved() { return std::exchange(unsaved_, {}); }
  std::vector<std::function<void()>> TakeEffects() { return std::exchange(effects_, {}); }

  /// Returns: the run's spec, parsed once while it goes on; shared because answers that carry it leave this thread.
  std::shared_ptr<const RunSpec> SpecOf(const Run& run);

 private:
  JobBook book_;
  std::vector<Event> unsaved_;
  std::vector<std::function<void()>> effects_;
  std::map<std::string, std::shared_ptr<const RunSpec>> specs_;
};

}  // namespace ferment::coordinator
