// SPDX-License-Identifier: Apache-2.0
#include "coordinator/label_index_desk.h"

#include <algorithm>
#include <filesystem>
#include <memory>

namespace ferment::coordinator {
namespace {

/// Writing an index may take one part of so many of the time.
constexpr int kShareOfTime = 20;
/// Shards that a round looks at, so that nobody waits long behind it.
constexpr std::uint64_t kShardsARound = 16'384;

}  // namespace

bool LabelIndexDesk::IsCurrent(const Run& run, const Job& job) {
  const JobKey key{run.run_id, job.plan.job_id};
  Index& index = indexes_[key];
  if (index.known && index.written == job.committed) return true;
  if (index.busy || !Gather(job, index)) return false;
  index.busy = true;
  const std::filesystem::path folder = std::filesystem::path(run.run_dir) / job.work.models.at(0).output_dir;
  auto entries = std::make_shared<const std::vector<LabelEntry>>(std::exchange(index.gathered, {}));
  index.looked_at = 0;
  parts_.ledger.AfterSave([this, key, folder, entries] {
    parts_.files.Post([this, key, folder, entries] {
      const Status status = parts_.run_files.WriteLabelIndex(folder, *entries, parts_.fence);
      parts_.come_back([this, key, committed = entries->size(), status] { HandleWritten(key, committed, status); });
    });
  });
  return false;
}

bool LabelIndexDesk::Gather(const Job& job, Index& index) const {
  const MonotonicTime now = parts_.clock.Now();
  if (index.looked_at == 0) {
    const bool complete = job.committed == job.shards.size();
    if (!complete && now < index.next) return false;
    index.begun = now;
  }
  const std::uint64_t end = std::min<std::uint64_t>(job.shards.size(), index.looked_at + kShardsARound);
  for (; index.looked_at < end; ++index.looked_at) {
    const Shard& shard = job.shards[index.looked_at];
    if (shard.state != ShardState::kCommitted) continue;
    index.gathered.push_back({index.looked_at, job.FilesOf(shard).at(0), shard.counts});
  }
  return index.looked_at == job.shards.size();
}

void LabelIndexDesk::HandleWritten(const JobKey& key, std::uint64_t committed, const Status& status) {
  Index& index = indexes_[key];
  index.busy = false;
  index.next = parts_.clock.Now() + (kShareOfTime - 1) * (parts_.clock.Now() - index.begun);
  if (!status.ok()) return parts_.failed(key, status);
  index.known = true;
  index.written = committed;
}

}  // namespace ferment::coordinator
