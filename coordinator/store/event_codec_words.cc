// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store/event_codec_words.h"

#include <algorithm>
#include <string>

#include "common/config/spec_value.h"

namespace ferment::coordinator {

namespace {

/// A message may quote a file of any bytes, and an event with a string that is not UTF-8 cannot be read again.
std::string WellFormed(std::string text) {
  if (IsUtf8(text)) return text;
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) > 0x7F; }, '?');
  return text;
}

}  // namespace

void Put(const Failure& from, v1::EventFailure* to) {
  to->set_message(WellFormed(from.message));
  to->set_exit_code(from.exit_code);
  to->set_cause(std::string(FailureCauseName(from.cause)));
}

void Put(const RecordCounts& from, v1::EventCounts* to) {
  to->set_read(from.read);
  to->set_labelled(from.labelled);
  to->set_abstained(from.abstained);
  to->set_quarantined(from.quarantined);
  to->mutable_class_histogram()->Assign(from.class_histogram.begin(), from.class_histogram.end());
}

void Put(const LeaseKey& from, v1::EventLease* to) {
  to->set_run_id(from.run_id);
  to->set_job_id(from.job_id);
  to->set_shard(from.shard);
  to->set_epoch(from.epoch);
}

void Put(const PlannedJob& from, v1::EventJobPlan* to) {
  to->set_job_id(from.job_id);
  to->set_phase(std::string(PhaseName(from.phase)));
  to->set_round(from.round);
  to->mutable_needs()->Assign(from.needs.begin(), from.needs.end());
  to->set_skipped(from.skipped);
}

void Put(const ModelFile& from, v1::EventFile* to) {
  to->set_role(from.role);
  to->set_file(from.file);
  to->set_sha256(from.sha256);
}

void Put(const WorkModel& from, v1::EventFile* to) {
  to->set_role(from.role);
  to->set_file(from.file);
  to->set_sha256(from.digest);
  to->set_output_dir(from.output_dir);
}

Failure Take(const v1::EventFailure& from) {
  // A newer version's changes nothing but an advice.
  const bool refused = from.cause() == FailureCauseName(FailureCause::kPlanRefused);
  return {from.message(), from.exit_code(), refused ? FailureCause::kPlanRefused : FailureCause::kOther};
}

RecordCounts Take(const v1::EventCounts& from) {
  return {from.read(),
          from.labelled(),
          from.abstained(),
          from.quarantined(),
          {from.class_histogram().begin(), from.class_histogram().end()}};
}

LeaseKey Take(const v1::EventLease& from) { return {from.run_id(), from.job_id(), from.shard(), from.epoch()}; }

ModelFile TakeModel(const v1::EventFile& from) { return {from.role(), from.file(), from.sha256()}; }

WorkModel TakeWorkModel(const v1::EventFile& from) {
  return {from.role(), from.file(), from.sha256(), from.output_dir()};
}

Result<PlannedJob> Take(const v1::EventJobPlan& from) {
  FERMENT_ASSIGN_OR_RETURN(const Phase phase, EnumNamed(from.phase(), Phase::kEvaluate, PhaseName, "phase"));
  return PlannedJob{from.job_id(), phase, from.round(), {from.needs().begin(), from.needs().end()}, from.skipped()};
}

Status UnknownWord(std::string_view field, std::string_view word) {
  return FailedPreconditionError("a newer version wrote it, and only that one can go on: " + std::string(field) + "=" +
                                 std::string(word))
      .WithExitCode(exit_code::kUnreadableState);
}

}  // namespace ferment::coordinator
