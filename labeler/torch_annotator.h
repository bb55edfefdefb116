// SPDX-License-Identifier: Apache-2.0
//
// An annotator that runs a network of the run folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "labeler/annotator.h"

namespace ferment::labeler {

/// Threads of LibTorch's arithmetic inside one operation. Call once, early in main: with 1 where whole batches go
/// beside each other, one a core.
void SetInferenceThreads(int threads);

/// A pass frees and asks again for the same tens of megabytes: keeps them, rather than have the kernel clear pages
/// anew. Call once, early in main.
void KeepFreedMemory();

/// Returns: the network in `weights` with the spec's backbone, classes and labeling.plan; at most labeling.batch faces
/// a call. `digest` (sha256 in hex) may be empty. With int8 the plan is made from records of data.fr, and compared with
/// fp32 on more of them, `threads` batches at a time; that takes as long as labelling some hundred faces twice.
/// Errors: DataLoss where the file has another digest; FailedPrecondition (65) where int8 agrees with fp32 on too few
/// labels; Unimplemented (64) for bf16; those of InferencePlan's loading, and of opening data.fr.
Result<std::unique_ptr<Annotator>> MakeTorchAnnotator(const RunSpec& spec, const std::filesystem::path& weights,
                                                      const std::string& digest, int threads = 1);

}  // namespace ferment::labeler
