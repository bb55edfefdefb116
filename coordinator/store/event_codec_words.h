// SPDX-License-Identifier: Apache-2.0
//
// Between the core's small values and their messages, for the codecs of events and snapshots.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "coordinator/core/job.h"
#include "ferment/v1/event.pb.h"

namespace ferment::coordinator {

void Put(const Failure& from, v1::EventFailure* to);
void Put(const RecordCounts& from, v1::EventCounts* to);
void Put(const LeaseKey& from, v1::EventLease* to);
void Put(const PlannedJob& from, v1::EventJobPlan* to);
void Put(const ModelFile& from, v1::EventFile* to);
void Put(const WorkModel& from, v1::EventFile* to);

Failure Take(const v1::EventFailure& from);
RecordCounts Take(const v1::EventCounts& from);
LeaseKey Take(const v1::EventLease& from);
ModelFile TakeModel(const v1::EventFile& from);
WorkModel TakeWorkModel(const v1::EventFile& from);
/// Errors: FailedPrecondition with exit code 78: a phase of a newer version.
Result<PlannedJob> Take(const v1::EventJobPlan& from);

/// Returns: what a log says that holds such a word.
Status UnknownWord(std::string_view field, std::string_view word);

/// Reads an enum from its name on disk; `last` is the enum's last value. Errors: UnknownWord's.
template <typename Enum, typename NameOf>
Result<Enum> EnumNamed(std::string_view name, Enum last, NameOf name_of, std::string_view field) {
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    if (name_of(static_cast<Enum>(i)) == name) return static_cast<Enum>(i);
  }
  return Fail(UnknownWord(field, name));
}

}  // namespace ferment::coordinator
