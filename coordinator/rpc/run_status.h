// SPDX-License-Identifier: Apache-2.0
//
// RunView as the message that clients get, and as the JSON that the status page reads.
#pragma once

#include <string>
#include <vector>

#include "coordinator/scheduler/run_view.h"
#include "ferment/v1/run_service.pb.h"

namespace ferment::coordinator {

v1::RunStatus ToRunStatus(const RunView& view);

/// Returns: {"runs": [...]} in proto3's JSON with the proto's field names, zeros too, and each run's "classes".
std::string RunsAsJson(const std::vector<RunView>& views);

}  // namespace ferment::coordinator
