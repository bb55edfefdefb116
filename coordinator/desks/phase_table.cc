// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/phase_table.h"

#include "common/base/json.h"
#include "coordinator/core/pipeline.h"

namespace ferment::coordinator {

std::string PhaseTableText(const Run& run, std::uint64_t seed) {
  Json table;
  const auto outcome = Outcome(run);
  const Failure& failure = outcome ? outcome->failure : run.failure;
  table["status"] = RunStateName(outcome ? outcome->state : run.state);
  table["seed"] = seed;
  if (!failure.message.empty()) table["failure"] = failure.message;
  table["phases"] = Json::array();
  for (const Job& job : run.jobs) {
    Json row;
    const bool ended = HasEnded(job.state) && job.started_wall_ms != 0;
    row["job_id"] = job.plan.job_id;
    row["phase"] = PhaseName(job.plan.phase);
    row["round"] = job.plan.round;
    row["status"] = JobStateName(job.state);
    row["attempts"] = job.attempt.number;
    row["seconds"] = ended ? static_cast<double>(job.ended_wall_ms - job.started_wall_ms) / 1000 : 0.0;
    row["cpu_seconds"] = ended ? job.usage.cpu_seconds : 0.0;
    row["peak_rss_bytes"] = ended ? job.usage.peak_rss_bytes : 0;
    row["samples"] = ended ? job.usage.samples : 0;
    row["failure"] = job.failure.message;
    if (job.canaries.checked > 0) {
      row["canaries"] = {{"checked", job.canaries.checked}, {"correct", job.canaries.correct}};
    }
    table["phases"].push_back(std::move(row));
  }
  return table.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace ferment::coordinator
