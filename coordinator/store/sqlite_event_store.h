// SPDX-License-Identifier: Apache-2.0
//
// The log in one SQLite file: the embedded store of a coordinator that runs alone.
#pragma once

#include <filesystem>
#include <memory>

#include "common/base/result.h"
#include "coordinator/store/event_store.h"

namespace ferment::coordinator {

/// Opens the file, or makes it, takes it for this process alone, and begins a new term (WAL, synchronous=FULL).
/// Errors: Aborted with exit code 202: another coordinator holds it. FailedPrecondition with 78: it is no store of
/// ours, or a newer version's. InvalidArgument with 2: it lies on a network file system, and may not: where it may,
/// that is a warning. PermissionDenied with 73: it cannot be written. Internal with 204: no space, or a sync failed.
Result<std::unique_ptr<EventStore>> OpenSqliteEventStore(const std::filesystem::path& file,
                                                         bool may_be_on_network = false);

}  // namespace ferment::coordinator
