// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/job.h"

#include <algorithm>
#include <array>

#include "coordinator/core/job_event.h"

namespace ferment::coordinator {

std::string_view PhaseName(Phase phase) {
  static constexpr std::array<std::string_view, 7> kNames = {"teacher",  "label",    "cotrain", "finetune",
                                                             "features", "temporal", "evaluate"};
  return kNames[static_cast<std::size_t>(phase)];
}

std::string_view RunStateName(RunState state) {
  static constexpr std::array<std::string_view, 4> kNames = {"running", "succeeded", "failed", "cancelled"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string_view JobStateName(JobState state) {
  static constexpr std::array<std::string_view, 6> kNames = {"pending", "running", "succeeded",
                                                             "failed",  "skipped", "cancelled"};
  return kNames[static_cast<std::size_t>(state)];
}

std::string_view TripCauseName(TripCause cause) {
  static constexpr std::array<std::string_view, 5> kNames = {"accuracy", "collapsed", "acceptance", "drift",
                                                             "operator"};
  return kNames[static_cast<std::size_t>(cause)];
}

std::string_view FailureCauseName(FailureCause cause) {
  return cause == FailureCause::kPlanRefused ? "plan-refused" : "";
}

std::string_view ReleaseReasonName(ReleaseReason reason) {
  static constexpr std::array<std::string_view, 4> kNames = {"returned", "expired", "replaced", "failed"};
  return kNames[static_cast<std::size_t>(reason)];
}

void CanaryCounts::Add(const CanaryCounts& other) {
  correct += other.correct;
  checked += other.checked;
}

void RecordCounts::Add(const RecordCounts& other) {
  read += other.read;
  labelled += other.labelled;
  abstained += other.abstained;
  quarantined += other.quarantined;
  class_histogram.resize(std::max(class_histogram.size(), other.class_histogram.size()));
  for (std::size_t i = 0; i < other.class_histogram.size(); ++i) class_histogram[i] += other.class_histogram[i];
}

}  // namespace ferment::coordinator
