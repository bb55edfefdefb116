// SPDX-License-Identifier: Apache-2.0
//
// event_codec's part for the events of a snapshot.
#pragma once

#include "common/base/result.h"
#include "coordinator/core/job_event.h"
#include "ferment/v1/event.pb.h"

namespace ferment::coordinator {

void EncodeSnapshot(const RunRestored& from, v1::Event& event);
void EncodeSnapshot(const ShardsRestored& from, v1::Event& event);
void EncodeSnapshot(const LabelerRestored& from, v1::Event& event);
void EncodeSnapshot(const RequestsRestored& from, v1::Event& event);

/// Errors: DataLoss where lists of one event do not fit each other; FailedPrecondition with exit code 78 for a word
/// that only a newer version knows.
Result<Event> DecodeSnapshot(const v1::RunRestored& from);
Result<Event> DecodeSnapshot(const v1::ShardsRestored& from);
Result<Event> DecodeSnapshot(const v1::LabelerRestored& from);
Result<Event> DecodeSnapshot(const v1::RequestsRestored& from);

}  // namespace ferment::coordinator
