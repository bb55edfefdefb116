// SPDX-License-Identifier: Apache-2.0
//
// What gRPC's locks do besides locking.
#pragma once

namespace ferment::rpc {

/// Ends the search for deadlocks in every lock that gRPC takes, which Debian's Abseil has on: a tenth of the time of a
/// busy coordinator. For the whole process. Thread: any.
void EndLockChecks();

}  // namespace ferment::rpc
