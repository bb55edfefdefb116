// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/steering_desk.h"

#include "common/base/logging.h"
#include "coordinator/core/pipeline.h"
#include "coordinator/desks/wall_time.h"

namespace ferment::coordinator {

Status CheckPriority(std::int32_t priority) {
  if (priority >= -kHighestPriority && priority <= kHighestPriority) return {};
  return InvalidArgumentError("priority: " + std::to_string(priority) + ", allowed: " +
                              std::to_string(-kHighestPriority) + " to " + std::to_string(kHighestPriority));
}

Status CheckNotEmpty(const RunUpdate& update) {
  return update.suspended || update.priority ? Status() : InvalidArgumentError("an update that changes nothing");
}

Result<const Run*> SteeringDesk::Running(const std::string& run_id) const {
  const Run* run = ledger_.book().FindRun(run_id);
  if (run == nullptr) return Fail(NoSuchRun(run_id));
  if (run->state == RunState::kRunning && !run->cancel_requested) return run;
  return Fail(FailedPreconditionError(
      "the run goes on no more: run=" + run_id +
      " state=" + (run->state == RunState::kRunning ? "being cancelled" : std::string(RunStateName(run->state)))));
}

Result<bool> SteeringDesk::HasChanged(const std::string& run_id, const std::string& request_id) const {
  const std::string* changed = ledger_.book().RunOfChange(request_id);
  if (changed == nullptr || *changed == run_id) return changed != nullptr;
  return Fail(InvalidArgumentError(
      "a change of another run had this request id; give each request its own: request_id=" + request_id +
      " run=" + run_id + " other=" + *changed));
}

Status SteeringDesk::Cancel(const std::string& run_id, const std::string& request_id) {
  const Run* run = ledger_.book().FindRun(run_id);
  if (run == nullptr) return NoSuchRun(run_id);
  FERMENT_ASSIGN_OR_RETURN(const bool repeated, HasChanged(run_id, request_id));
  if (repeated) return {};
  if (request_id.empty() && (run->state != RunState::kRunning || run->cancel_requested)) return {};
  LogInfo("run.cancel", {{"run", run_id}});
  ledger_.Record(RunCancelRequested{run_id, request_id, WallMs(clock_)});
  return {};
}

Status SteeringDesk::Update(const RunUpdate& update) {
  FERMENT_RETURN_IF_ERROR(CheckNotEmpty(update));
  if (update.priority) FERMENT_RETURN_IF_ERROR(CheckPriority(*update.priority));
  FERMENT_ASSIGN_OR_RETURN(const bool repeated, HasChanged(update.run_id, update.request_id));
  if (repeated) return {};
  if (const auto run = Running(update.run_id); !run) return run.error();
  if (update.suspended) LogInfo(*update.suspended ? "run.suspended" : "run.resumed", {{"run", update.run_id}});
  if (update.priority) LogInfo("run.priority", {{"run", update.run_id}, {"priority", *update.priority}});
  ledger_.Record(RunUpdated{update.run_id, update.request_id, update.suspended, update.priority, WallMs(clock_)});
  return {};
}

Result<std::string> SteeringDesk::RollBackTeacher(const std::string& run_id, const std::string& request_id,
                                                  const std::string& reason) {
  const Run* known = ledger_.book().FindRun(run_id);
  if (known != nullptr && !request_id.empty()) {
    for (const Job& job : known->jobs) {
      if (job.tripped_by == request_id) return job.plan.job_id;
    }
  }
  FERMENT_ASSIGN_OR_RETURN(const Run* run, Running(run_id));
  const Job* job = TeacherInUse(*run);
  if (job == nullptr || job->plan.round == 0) {
    return Fail(FailedPreconditionError(
        std::string(job == nullptr ? "no teacher's labels are made or learned from now"
                                   : "the first teacher labels; there is none before it, cancel the run instead") +
        ": run=" + run_id));
  }
  const std::string why = "teacher of " + job->plan.job_id + ": rolled back by an operator" +
                          (reason.empty() ? std::string() : ": " + reason);
  LogWarning("teacher.stopped", {{"run", run_id}, {"job", job->plan.job_id}, {"why", why}});
  const std::string job_id = job->plan.job_id;
  ledger_.Record(TeacherTripped{run_id, job_id, TripCause::kOperator, why, WallMs(clock_), request_id});
  metrics_.CountStop(TripCause::kOperator);
  return job_id;
}

}  // namespace ferment::coordinator
