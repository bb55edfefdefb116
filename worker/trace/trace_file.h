// SPDX-License-Identifier: Apache-2.0
//
// The traces of all ranks as one file that chrome://tracing and Perfetto open (the Trace Event Format).
#pragma once

#include <filesystem>

#include "worker/collective/collective.h"
#include "worker/trace/trace.h"

namespace ferment::worker {

/// Every rank calls. Rank 0 writes: a process a rank, a row for its training and one for its collectives; begun sums as
/// asynchronous events from their begin to when their end was seen. Numbers of spans that were forgotten are under
/// "otherData". Errors, on every rank: those of writing and of the collective.
Status WriteTraceFile(const std::filesystem::path& file, const Trace& trace, Collective& world);

}  // namespace ferment::worker
