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

/// Errors: DataLoss where the bytes are no event; FailedPrecondition with exit code 78 where they are one that only a
/// newer version of ferment knows.
Result<Event> DecodeEvent(std::string_view bytes);

}  // namespace ferment::coordinator
