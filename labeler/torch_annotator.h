// SPDX-License-Identifier: Apache-2.0
//
// An annotator that runs a network of the run folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "labeler/annotator.h"
#include "labeler/inference_device.h"

namespace ferment::labeler {

/// Threads of LibTorch's arithmetic inside one operation. Call once, early in main: with 1 where whole batches go
/// beside each other, one a core.
void SetInferenceThreads(int threads);

/// A pass frees and asks again for the same tens of megabytes: keeps them, rather than have the kernel clear pages
/// anew. Call once, early in main.
void KeepFreedMemory();

/// `wanted` is cpu, cuda, or auto, which is cuda where this process may use a GPU and LibTorch's CUDA half is there;
/// `turn` counts round over the GPUs, so that processes of one machine can each have one. Call once, early in main.
/// Returns: the device, ready, with one thread. Errors (69): those of nn::OpenCuda, where cuda is wanted.
Result<InferenceDevice> ChooseInferenceDevice(std::string_view wanted, int turn);

/// Returns: the network in `weights` with the spec's backbone, classes and labeling.plan; on the CPU at most
/// labeling.batch faces a call, on a GPU that many. `digest` (sha256 in hex) may be empty. A plan of reduced precision
/// is compared with fp32 on records of data.fr, which int8's ranges are taken from too; how well it agrees is
/// the annotator's agreement(), and not judged. That takes as long as labelling some hundred faces twice, and ends once
/// `ending` is requested, as waits for an object store do (Cancelled). Errors: DataLoss where the file has another
/// digest; Unimplemented (64) for int8 on a GPU and bf16 on the CPU; those of InferencePlan's loading, and of opening
/// data.fr.
Result<std::unique_ptr<Annotator>> MakeTorchAnnotator(const RunSpec& spec, const std::filesystem::path& weights,
                                                      const std::string& digest, const InferenceDevice& device = {},
                                                      const std::stop_token& ending = {});

}  // namespace ferment::labeler
