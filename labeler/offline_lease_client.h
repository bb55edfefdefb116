// SPDX-License-Identifier: Apache-2.0
//
// Leases without a coordinator: the label job of a run folder, shard after shard, by this labeler alone.
#pragma once

#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/base/instruction_set.h"
#include "common/base/result.h"
#include "labeler/lease_client.h"

namespace ferment::labeler {

/// Returns: a client whose work is the shards of `job` (label, label-1 ...) that the index does not name yet when they
/// are taken: in order, and at random once others are seen to commit some. Commit enters them into the index; once a
/// shard has failed, Take answers with that. It holds the folder (io::FolderHold) until it is destroyed. What labelers
/// that were killed left half written among the label sets an hour ago is removed. `label_store`: as
/// ferment-coordinator's --label-store; `arithmetic`: this labeler's class of it, part of the label config; `ending`:
/// stop of the whole process, which ends the client's waits for an object store, a commit's after late_stop.h's time.
/// Errors: InvalidArgument for another job; NotFound where the spec or the teacher is missing; Aborted (202) where a
/// coordinator, a `ferment run` or a trainer that was started by hand has the folder; those of OpenFr and
/// io::SyncFolder.
Result<std::unique_ptr<LeaseClient>> MakeOfflineLeaseClient(const std::filesystem::path& run_dir,
                                                            const std::string& job, const std::string& label_store = "",
                                                            std::string_view arithmetic = InstructionSetClass(),
                                                            const std::stop_token& ending = {});

}  // namespace ferment::labeler
