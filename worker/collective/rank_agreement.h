// SPDX-License-Identifier: Apache-2.0
//
// Makes one rank's failure every rank's failure, so that all leave with one code instead of waiting for each other.
#pragma once

#include <string>

#include "worker/collective/collective.h"

namespace ferment::worker {

/// Every rank brings its own outcome. Returns: ok if all are, else the failure of the lowest rank that has one, with
/// that rank named and its exit code kept. Errors: also those of the collective.
Status AgreeOnStatus(Collective& ranks, const Status& mine);

/// Returns: rank 0's answer, on every rank. Errors: those of the collective.
Result<bool> BroadcastAnswer(Collective& ranks, bool answer);

/// Returns: rank 0's text, on every rank. Errors: those of the collective.
Result<std::string> BroadcastText(Collective& ranks, std::string text);

}  // namespace ferment::worker
