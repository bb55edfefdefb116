// SPDX-License-Identifier: Apache-2.0
//
// Between the structs of job_event.h and the bytes of ferment.v1.Event.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "coordinator/core/job_event.h"

namespace ferment::coordinator {

std::string EncodeEvent(const Event& event);

/// Errors: DataLoss where the bytes are no event; FailedPrecondition with exit code 78 where a newer version of ferment
/// wrote it: its kind, a word, or a field of it or of any message within is not known.
Result<Event> DecodeEvent(std::string_view bytes);

}  // namespace ferment::coordinator
