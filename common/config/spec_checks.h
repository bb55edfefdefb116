// SPDX-License-Identifier: Apache-2.0
//
// What one key alone cannot tell: values that must fit each other.
#pragma once

#include "common/config/spec_faults.h"
#include "common/config/spec_loader.h"

namespace ferment {

/// Faults values that contradict each other, or that no code follows yet. Requires: defaults are filled in. Keys with a
/// fault already are not judged.
void CheckValues(const LoadedSpec& loaded, SpecFaults& faults);
/// Faults a spec whose data sets cannot make a run: neither all rendered nor faces with and without labels.
void CheckSources(const LoadedSpec& loaded, SpecFaults& faults);

/// For a spec that came as a message, which no loader has seen: its name, and each value that it holds, by the rule of
/// its field. Errors: as LoadSpec, with "spec" as the file.
Status CheckMessage(const RunSpec& spec);

}  // namespace ferment
