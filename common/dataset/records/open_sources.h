// SPDX-License-Identifier: Apache-2.0
//
// From the spec to the source it names.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "common/dataset/records/record_source.h"

namespace ferment::dataset {

/// Returns: the unlabelled faces of data.fr. Errors: InvalidArgument (64) where the spec has none or the format is
/// unknown, and those of the source. `stop` ends what waits for an object store, now and later, with Cancelled.
Result<std::unique_ptr<RecordSource>> OpenFr(const RunSpec& spec, const std::stop_token& stop = {});

/// Returns: last component of a data path: the data set's name in folders and messages.
std::string DatasetName(const std::string& path);

}  // namespace ferment::dataset
