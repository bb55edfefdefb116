// SPDX-License-Identifier: Apache-2.0
//
// Stands in for LibTorch where processes are many: logits are a hash of the face and the teacher's digest.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "labeler/annotator.h"
#include "labeler/work_runner.h"

namespace ferment::chaos {

/// Returns: what WorkRunner opens for each teacher. Another teacher gives other labels, the same one the same labels
/// in whatever process. `work`: how long a call takes besides.
labeler::OpenAnnotator OpenHashingAnnotator(std::chrono::milliseconds work);

}  // namespace ferment::chaos
