// SPDX-License-Identifier: Apache-2.0
#include "coordinator/desks/label_index_desk.h"

#include <algorithm>
#include <filesystem>

namespace ferment::coordinator {
namespace {

/// Writing an index may take one part of so many of the time.
constexpr int kShareOfTime = 20;

}  // namespace

bool LabelIndexDesk::IsCurrent(const Run& run, const Job& job) {
  const JobKey key{run.run_id, job.plan.job_id};
  Index& index = indexes_[key];
  if (index.number == 0) index.number = ++numbers_;
  if (index.known && index.written == job.committed) return true;
  const bool complete = job.committed == job.shards.size();
  if (index.busy || (!complete && parts_.clock.Now() < index.next)) return false;
  index.busy = true;
  if (!index.making) index.making = std::make_shared<std::unique_ptr<LabelIndexMaking>>();
  const auto piece = std::make_shared<const Piece>(Gather(run, job, index));
  parts_.ledger.AfterSave([this, key, number = index.number, making = index.making, piece] {
    parts_.files.Post([this, key, number, making, piece] {
      const Status status = Write(*piece, *making);
      parts_.come_back([=, this, last = piece->last] { HandleWritten(key, number, making, last, status); });
    });
  });
  return false;
}

LabelIndexDesk::Piece LabelIndexDesk::Gather(const Run& run, const Job& job, Index& index) const {
  index.begun = parts_.clock.Now();
  Piece piece{std::filesystem::path(run.run_dir) / job.work.models.at(0).output_dir, {}, false};
  const std::uint64_t end = std::min<std::uint64_t>(job.shards.size(), index.looked_at + parts_.piece);
  for (; index.looked_at < end; ++index.looked_at) {
    const Shard& shard = job.shards[index.looked_at];
    if (shard.state != ShardState::kCommitted) continue;
    piece.entries.push_back({index.looked_at, job.FilesOf(shard).at(0), shard.counts});
  }
  index.named += piece.entries.size();
  piece.last = index.looked_at == job.shards.size();
  return piece;
}

Status LabelIndexDesk::Write(const Piece& piece, std::unique_ptr<LabelIndexMaking>& making) const {
  Status status = Append(piece, making);
  if (status.ok() && piece.last) status = making->Finish(parts_.fence);
  if (!status.ok() || piece.last) making.reset();
  // A later coordinator removes what this one left: no disk has failed then.
  if (!status.ok()) FERMENT_RETURN_IF_ERROR(parts_.fence());
  return status;
}

Status LabelIndexDesk::Append(const Piece& piece, std::unique_ptr<LabelIndexMaking>& making) const {
  if (!making) {
    FERMENT_ASSIGN_OR_RETURN(making, parts_.run_files.BeginLabelIndex(piece.folder, parts_.fence));
  }
  return making->Append(piece.entries);
}

void LabelIndexDesk::HandleWritten(const JobKey& key, std::uint64_t number, const Making& making, bool last,
                                   const Status& status) {
  if (!status.ok()) parts_.failed(key, status);
  const auto found = indexes_.find(key);
  if (found == indexes_.end() || found->second.number != number) return Drop(making);
  Index& index = found->second;
  index.busy = false;
  index.next = parts_.clock.Now() + (kShareOfTime - 1) * (parts_.clock.Now() - index.begun);
  if (status.ok() && !last) return;
  index.known = status.ok();
  index.written = index.named;
  index.looked_at = 0;
  index.named = 0;
  index.making.reset();
}

void LabelIndexDesk::Forget(const JobKey& key) {
  const auto found = indexes_.find(key);
  if (found == indexes_.end()) return;
  if (!found->second.busy) Drop(std::move(found->second.making));
  indexes_.erase(found);
}

void LabelIndexDesk::ForgetAll() {
  while (!indexes_.empty()) Forget(JobKey(indexes_.begin()->first));
}

/// Removing a large file takes long.
void LabelIndexDesk::Drop(Making making) const {
  if (!making || !*making) return;
  parts_.files.Post([making = std::move(making)] { making->reset(); });
}

}  // namespace ferment::coordinator
