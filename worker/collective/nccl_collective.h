// SPDX-License-Identifier: Apache-2.0
//
// Ranks that have a GPU each: NCCL takes the buffers on the devices, the collective beneath takes those of the host.
#pragma once

#include <functional>

#include "worker/collective/collective.h"

namespace ferment::worker {

struct NcclOptions {
  /// This rank's device, as CUDA counts them in this process.
  int device = 0;
  /// Of every verb, from its call: the work that the compute stream still holds counts too.
  std::chrono::milliseconds deadline{0};
  /// Returns: the cudaStream_t that the calling thread's tensors are computed on; null is CUDA's default stream.
  std::function<void*()> compute_stream;
};

/// Returns: a communicator of the ranks of `host`, whose verbs take buffers of either memory, the same on every rank.
/// Device memory goes by NCCL; a verb begins after all work that compute_stream() holds at the call, and returns when
/// the result is there, but for BeginSum: its buffer is in use until AwaitSums, and must not go back to an allocator
/// before. Host memory and Barrier go by `host`, which also carries NCCL's unique id; it outlives the result.
///
/// Every rank calls. Errors: those of Collective, and Internal where CUDA or NCCL refuse. What keeps one rank from
/// making a stream on its device is every rank's failure; one that NCCL meets later is that rank's, which should end
/// the job.
///
/// Thread: one at a time; verbs on device memory from any thread (autograd has its own), the others from host's.
/// Destroy when no rank is inside of a verb: a rank that leaves takes buffers with it that its peers read.
Result<std::unique_ptr<Collective>> MakeNcclCollective(Collective& host, const NcclOptions& options);

}  // namespace ferment::worker
