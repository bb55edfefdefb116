// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/teacher_desk.h"

#include <utility>

#include "common/base/logging.h"
#include "coordinator/core/teacher_guard.h"
#include "coordinator/desks/wall_time.h"

namespace ferment::coordinator {
namespace {

/// Returns: the records of the last label job before this one whose labels were accepted, or nullptr.
const RecordCounts* AcceptedBefore(const Run& run, const Job& job) {
  const RecordCounts* records = nullptr;
  for (const Job& other : run.jobs) {
    if (&other == &job) break;
    if (other.plan.phase == Phase::kLabel && other.state == JobState::kSucceeded) records = &other.records;
  }
  return records;
}

}  // namespace

void TeacherDesk::Judge(const Run& run, const Job& job) {
  if (job.plan.phase != Phase::kLabel || job.state != JobState::kRunning) return;
  if (!job.tripped.empty() || job.committed == 0) return;

  const auto spec = ledger_.SpecOf(run);
  const TeacherEvidence evidence{job.canaries, job.records, AcceptedBefore(run, job)};
  const auto& labeling = spec->labeling();
  const TeacherVerdict verdict = JudgeTeacher(evidence, {labeling.min_accuracy(),
                                                         {spec->classes().begin(), spec->classes().end()},
                                                         labeling.min_acceptance(),
                                                         labeling.max_acceptance(),
                                                         labeling.max_drift()});
  if (evidence.accepted_before != nullptr) metrics_.label_drift.Set(verdict.drift);
  for (const auto& [kind, text] : verdict.warnings) {
    if (!warned_.emplace(run.run_id, job.plan.job_id, kind).second) continue;
    LogWarning("teacher.suspicious", {{"run", run.run_id}, {"job", job.plan.job_id}, {"what", text}});
  }
  if (!verdict.trip) return;

  const std::string reason = "teacher " + job.work.models.at(0).digest.substr(0, 16) + ": " + verdict.trip->reason;
  LogError(
      "teacher.stopped",
      {{"run", run.run_id}, {"job", job.plan.job_id}, {"why", reason}, {"next", "no student learns from its labels"}});
  ledger_.Record(TeacherTripped{run.run_id, job.plan.job_id, verdict.trip->cause, reason, WallMs(clock_)});
  metrics_.CountStop(verdict.trip->cause);
}

void TeacherDesk::Forget(const Run& run) {
  std::erase_if(warned_, [&](const auto& one) { return std::get<0>(one) == run.run_id; });
}

}  // namespace ferment::coordinator
