// SPDX-License-Identifier: Apache-2.0
//
// How long labelers and trainers wait for a coordinator that is away: longer than people do, and as long as one
// remembers a run that has ended.
#pragma once

#include <chrono>

namespace ferment::rpc {

/// From the first attempt of a call whose answer is needed (a lease, a commit, a run token, a result): an outage that
/// is shorter costs no work.
inline constexpr std::chrono::minutes kOutagePatience{10};

}  // namespace ferment::rpc
