// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "common/dataset/labels/label_index.h"
#include "tests/chaos/chaos_oracle.h"

namespace ferment::chaos {
namespace {

namespace fs = std::filesystem;
using simulation::JobFacts;
using simulation::ShardFacts;

/// One label job: its index against the log, and each file that the index names.
class FolderJudge {
 public:
  FolderJudge(std::string name, const JobFacts& job, std::vector<Breach>& breaches)
      : name_(std::move(name)), job_(job), breaches_(breaches) {}

  void Judge() {
    const auto index = dataset::ReadLabelIndex(job_.index_folder);
    if (!index) return Say("P1", index.error().ToString());
    for (const auto& [shard, file] : *index) CheckEntry(shard, file);
    if (job_.state != coordinator::JobState::kSucceeded) return;
    for (std::size_t shard = 0; shard < job_.shards.size(); ++shard) {
      if (!index->contains(shard)) Say("P1", "a hole in a job that succeeded: shard=" + std::to_string(shard));
    }
  }

 private:
  void Say(const std::string& promise, const std::string& what) {
    breaches_.push_back({promise, name_ + ": " + what + " folder=" + job_.index_folder});
  }
  void CheckEntry(std::uint64_t shard, const dataset::LabelFile& file) {
    const std::string about = "shard=" + std::to_string(shard) + " file=" + file.file;
    if (shard >= job_.shards.size() || !job_.shards[shard].committed) {
      return Say("P1", "a label set is visible that nobody committed: " + about);
    }
    const ShardFacts& logged = job_.shards[shard];
    if (logged.files.empty() || logged.files.front().sha256 != file.sha256) {
      return Say("P1", "another label set is visible than was committed: " + about);
    }
    const auto set = dataset::ReadLabelSet(job_.index_folder, file);
    if (!set) return Say("P2", "a committed label set cannot be read: " + about + ": " + set.error().ToString());
    const dataset::LabelCounts counts = set->Counts();
    if (counts.read != counts.labelled + counts.abstained + counts.quarantined ||
        counts.read != logged.planned_records) {
      Say("P7", "records got lost: " + about + " read=" + std::to_string(counts.read) +
                    " planned=" + std::to_string(logged.planned_records));
    }
    for (const std::uint64_t key : set->key) {
      if (!keys_.insert(key).second) Say("P1", "a record has two labels: " + about + " key=" + std::to_string(key));
    }
  }

  const std::string name_;
  const JobFacts& job_;
  std::vector<Breach>& breaches_;
  std::set<std::uint64_t> keys_;
};

}  // namespace

void JudgeFolders(const LogFacts& log, std::vector<Breach>& breaches) {
  for (const auto& [run_id, run] : log.runs) {
    for (const auto& [job_id, job] : run.jobs) {
      if (job.label && !job.shards.empty()) FolderJudge(run_id + "/" + job_id, job, breaches).Judge();
    }
  }
}

}  // namespace ferment::chaos
