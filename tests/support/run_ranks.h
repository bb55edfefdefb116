// SPDX-License-Identifier: Apache-2.0
//
// Runs one body a rank, ranks being threads.
#pragma once

#include <functional>

#include "worker/collective/collective.h"

namespace ferment::testing {

/// Returns when every rank has returned. A test's expectations may be made inside of the body.
void RunRanks(int ranks, const std::function<void(worker::Collective&)>& body,
              std::chrono::milliseconds deadline = std::chrono::seconds(60));

}  // namespace ferment::testing
