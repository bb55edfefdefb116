// SPDX-License-Identifier: Apache-2.0
//
// What tests can make the stand-in for libnccl do beside what nccl.h offers.
#pragma once

#include <nccl.h>

namespace ferment::testing {

/// How many devices cudaGetDeviceCount finds; 4 unless a test says otherwise.
void SetStandinDevices(int count);
/// Every communicator that was made on `device` has this asynchronous error from now on.
void RaiseStandinError(int device, ncclResult_t error);
/// Returns: communicators that were made and neither destroyed nor aborted.
int OpenStandinCommunicators();

}  // namespace ferment::testing
