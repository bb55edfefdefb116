// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/run_status.h"

#include <google/protobuf/util/json_util.h>

#include "common/base/json.h"

namespace ferment::coordinator {
namespace {

v1::RunState ToProto(RunState state) {
  switch (state) {
    case RunState::kRunning:
      return v1::RUN_STATE_RUNNING;
    case RunState::kSucceeded:
      return v1::RUN_STATE_SUCCEEDED;
    case RunState::kFailed:
      return v1::RUN_STATE_FAILED;
    case RunState::kCancelled:
      return v1::RUN_STATE_CANCELLED;
  }
  return v1::RUN_STATE_UNSPECIFIED;
}

v1::JobState ToProto(JobState state) {
  switch (state) {
    case JobState::kPending:
      return v1::JOB_STATE_PENDING;
    case JobState::kRunning:
      return v1::JOB_STATE_RUNNING;
    case JobState::kSucceeded:
      return v1::JOB_STATE_SUCCEEDED;
    case JobState::kFailed:
      return v1::JOB_STATE_FAILED;
    case JobState::kSkipped:
      return v1::JOB_STATE_SKIPPED;
    case JobState::kCancelled:
      return v1::JOB_STATE_CANCELLED;
  }
  return v1::JOB_STATE_UNSPECIFIED;
}

void FillJob(const JobView& view, v1::JobStatus& job) {
  job.set_job_id(view.job_id);
  job.set_phase(std::string(PhaseName(view.phase)));
  job.set_round(view.round);
  job.set_state(ToProto(view.state));
  job.set_attempts(view.attempts);
  job.set_done(view.done);
  job.set_total(view.total);
  job.set_rate(view.rate);
  job.set_samples(view.usage.samples);
  job.set_seconds(view.seconds);
  job.set_cpu_seconds(view.usage.cpu_seconds);
  job.set_peak_rss_bytes(view.usage.peak_rss_bytes);
  job.mutable_metrics()->insert(view.metrics.begin(), view.metrics.end());
  job.set_failure(view.failure);
  job.set_waiting(view.waiting);
  if (!IsShardPhase(view.phase)) return;
  v1::ShardCounts* shards = job.mutable_shards();
  shards->set_pending(view.shards.pending);
  shards->set_leased(view.shards.leased);
  shards->set_committed(view.shards.committed);
  shards->set_failed(view.shards.failed);
  shards->set_grid(view.shards.grid);
  v1::RecordCounts* records = job.mutable_records();
  records->set_read(view.records.read);
  records->set_labelled(view.records.labelled);
  records->set_abstained(view.records.abstained);
  records->set_quarantined(view.records.quarantined);
  records->mutable_class_histogram()->Assign(view.records.class_histogram.begin(), view.records.class_histogram.end());
}

}  // namespace

v1::RunStatus ToRunStatus(const RunView& view) {
  v1::RunStatus status;
  status.set_run_id(view.run_id);
  status.set_name(view.name);
  status.set_run_dir(view.run_dir);
  status.set_state(ToProto(view.state));
  status.set_failure(view.failure.message);
  status.set_exit_code(view.failure.exit_code);
  status.set_revision(view.revision);
  status.set_suspended(view.suspended);
  status.set_ending(view.ending);
  status.set_priority(view.priority);
  for (const JobView& job : view.jobs) FillJob(job, *status.add_jobs());
  for (const LabelerView& labeler : view.labelers) {
    v1::LabelerStatus* one = status.add_labelers();
    one->set_name(labeler.name);
    one->set_shards_committed(labeler.shards_committed);
    one->set_records(labeler.records);
    one->set_rate(labeler.rate);
    one->set_failures_in_a_row(labeler.failures);
    one->set_cool_down_seconds(labeler.cool_down_seconds);
  }
  return status;
}

std::string RunsAsJson(const std::vector<RunView>& views) {
  v1::ListRunsResponse runs;
  for (const RunView& view : views) *runs.add_runs() = ToRunStatus(view);
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(runs, &text, options);
  auto json = ParseJson(status.ok() ? text : R"({"runs": []})");
  if (!json) return R"({"runs": []})";
  for (std::size_t i = 0; i < views.size() && i < (*json)["runs"].size(); ++i) {
    (*json)["runs"][i]["classes"] = views[i].classes;
  }
  return json->dump();
}

}  // namespace ferment::coordinator
