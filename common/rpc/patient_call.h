// SPDX-License-Identifier: Apache-2.0
//
// Calls of those who cannot go on without the coordinator's answer.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include "common/rpc/grpc_channel.h"

namespace ferment::rpc {

/// Returns: options of a call that is made again for as long as `patience`. Once the first attempt has failed the log
/// says `coordinator_does_not_answer`: whoever started this process may have given it the wrong address.
CallOptions PatientCall(std::string coordinator, std::chrono::milliseconds patience, std::stop_token stop = {});

}  // namespace ferment::rpc
