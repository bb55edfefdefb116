// SPDX-License-Identifier: Apache-2.0
//
// For a trainer that nobody runs: there is no token, and progress is a log line.
#pragma once

#include <memory>

#include "worker/run_client.h"

namespace ferment::worker {

std::unique_ptr<RunClient> MakeOfflineRunClient();

}  // namespace ferment::worker
