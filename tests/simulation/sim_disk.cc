// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/sim_disk.h"

#include <iterator>
#include <utility>

#include "coordinator/store/event_codec.h"

namespace ferment::simulation {

void SimDisk::Sync() {
  synced.insert(synced.end(), std::make_move_iterator(unsynced.begin()), std::make_move_iterator(unsynced.end()));
  unsynced.clear();
}

SimEventStore::SimEventStore(SimDisk& disk, DiskTrouble& trouble, DiskWitness& witness)
    : disk_(disk), trouble_(trouble), witness_(witness), term_(++disk.term) {}

Status SimEventStore::Confirm() {
  if (failed_.ok() && disk_.term != term_) {
    failed_ = AbortedError("a newer coordinator owns the store").WithExitCode(exit_code::kFenced);
    witness_.Failed(failed_);
  }
  return failed_;
}

Result<DiskTrouble::Next> SimEventStore::BeginSave() {
  if (!failed_.ok()) return Fail(failed_);
  witness_.WhileSaving();
  FERMENT_RETURN_IF_ERROR(Confirm());
  using Next = DiskTrouble::Next;
  const Next next = std::exchange(trouble_.next, Next::kNothing);
  if (next == Next::kDieBeforeSync) throw ProcessDied{"before the sync"};
  if (next == Next::kFailAndLose) {
    failed_ = InternalError("the sync failed").WithExitCode(exit_code::kStorageFailed);
    witness_.Failed(failed_);
    return Fail(failed_);
  }
  return next;
}

Status SimEventStore::EndSave(DiskTrouble::Next next) {
  using Next = DiskTrouble::Next;
  if (next == Next::kDieAfterSync) throw ProcessDied{"after the sync"};
  if (next == Next::kFailAndKeep) {
    failed_ = InternalError("no space left for the sync").WithExitCode(exit_code::kStorageFailed);
    witness_.Failed(failed_);
  }
  return failed_;
}

Status SimEventStore::Append(std::span<const coordinator::Event> events) {
  FERMENT_ASSIGN_OR_RETURN(const DiskTrouble::Next next, BeginSave());
  for (const coordinator::Event& event : events) disk_.unsynced.push_back({term_, coordinator::EncodeEvent(event)});
  disk_.Sync();
  witness_.Logged(term_, events);
  return EndSave(next);
}

Status SimEventStore::Replace(const std::function<Status(const coordinator::EventSink&)>& write) {
  FERMENT_ASSIGN_OR_RETURN(const DiskTrouble::Next next, BeginSave());
  std::vector<SimDisk::Row> rows;
  FERMENT_RETURN_IF_ERROR(write([&](const coordinator::Event& event) {
    rows.push_back({term_, coordinator::EncodeEvent(event)});
    return Status();
  }));
  disk_.synced = std::move(rows);
  disk_.unsynced.clear();
  witness_.Compacted(disk_.synced.size());
  return EndSave(next);
}

Status SimEventStore::Replay(const coordinator::EventSink& visit) {
  for (const auto* rows : {&disk_.synced, &disk_.unsynced}) {
    for (const SimDisk::Row& row : *rows) {
      FERMENT_ASSIGN_OR_RETURN(const coordinator::Event event, coordinator::DecodeEvent(row.body));
      FERMENT_RETURN_IF_ERROR(visit(event));
    }
  }
  return {};
}

}  // namespace ferment::simulation
