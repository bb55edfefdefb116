// SPDX-License-Identifier: Apache-2.0
//
// What two folders of label sets say of the same records.
#pragma once

#include <vector>

#include "common/base/json.h"
#include "common/base/result.h"
#include "common/dataset/labels/label_set.h"

namespace ferment::cli {

/// Compares records by their keys. Requires: each as dataset::ReadLabelSets returns it. Returns: how many records both
/// have, how many of those are the same, and each change of label; what the two are of; and in `notes` what a reader
/// should know. Errors: InvalidArgument (exit 2) where they have other classes.
Result<Json> CompareLabelSets(const std::vector<dataset::LabelSet>& first,
                              const std::vector<dataset::LabelSet>& second);

}  // namespace ferment::cli
