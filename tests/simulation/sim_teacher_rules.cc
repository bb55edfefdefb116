// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_teacher_rules.h"

#include <algorithm>

namespace ferment::simulation {
namespace {

constexpr std::uint64_t kPlenty = 80;

coordinator::CanaryCounts CanariesOf(const JobFacts& job) {
  coordinator::CanaryCounts sum;
  for (const ShardFacts& shard : job.shards) {
    if (shard.committed) sum.Add(shard.canaries);
  }
  return sum;
}

}  // namespace

std::uint64_t CommittedOf(const JobFacts& job) {
  return static_cast<std::uint64_t>(
      std::count_if(job.shards.begin(), job.shards.end(), [](const ShardFacts& shard) { return shard.committed; }));
}

bool PlainlyBad(const JobFacts& job) {
  const coordinator::CanaryCounts canaries = CanariesOf(job);
  return canaries.checked >= kPlenty && 10 * canaries.correct < 3 * canaries.checked;
}

bool PlainlyHealthy(const JobFacts& job) {
  const coordinator::CanaryCounts canaries = CanariesOf(job);
  return 10 * canaries.correct >= 6 * canaries.checked;
}

std::string UnfitTeacher(const RunFacts& run, std::uint32_t round) {
  for (const auto& [job_id, job] : run.jobs) {
    if (!job.label || job.round != round) continue;
    if (job.tripped) return job_id + " is of a stopped teacher";
    if (PlainlyBad(job)) return job_id + " is of a bad teacher";
  }
  return "";
}

std::string TeacherOf(const RunFacts& run, std::uint32_t round) {
  for (const auto& [job_id, job] : run.jobs) {
    const bool publishes = round == 0 ? job_id == "teacher" : job_id.starts_with("cotrain") && job.round + 1 == round;
    if (publishes) return job.published;
  }
  return "";
}

std::string StaleLabels(const RunFacts& run, std::uint32_t round) {
  const std::string teacher = TeacherOf(run, round);
  if (teacher.empty()) return "its round has no teacher";
  for (const auto& [job_id, job] : run.jobs) {
    if (!job.label || job.round != round) continue;
    if (job.labelled_by != teacher) return job_id + " is by " + job.labelled_by + ", its round's teacher is " + teacher;
    if (job.shards.empty() || CommittedOf(job) < job.shards.size()) return job_id + " is not done";
  }
  return "";
}

bool MayBeLeftOut(const RunFacts& run, const JobFacts& job) {
  return std::any_of(run.jobs.begin(), run.jobs.end(), [&](const auto& one) {
    return one.second.tripped && one.second.round > 0 && one.second.round <= job.round;
  });
}

}  // namespace ferment::simulation
