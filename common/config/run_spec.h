// SPDX-License-Identifier: Apache-2.0
//
// The door of the spec's generated code: everything else says ferment::RunSpec.
#pragma once

#include "ferment/v1/run_spec.pb.h"

namespace ferment {

/// One run, as proto/ferment/v1/run_spec.proto describes it, field by field. Once loaded, every default is filled in
/// and every path absolute.
using v1::RunSpec;

/// Returns: whether labels of this spec are made on GPUs: labeling.device, where auto follows a resources.device of
/// cuda.
bool LabelsOnGpus(const RunSpec& spec);

/// Returns: whether evaluate.select asks for each network at its best validation, in place of its last step.
bool ReportsBest(const RunSpec& spec);

}  // namespace ferment
