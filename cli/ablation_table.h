// SPDX-License-Identifier: Apache-2.0
//
// The figures of report.json that a person wants to see when a run has ended.
#pragma once

#include <filesystem>
#include <string>

#include "common/base/json.h"

namespace ferment::cli {

/// Returns: static macro F1 a model, then the ablation as a table; parts that the document lacks are left out.
std::string SummaryText(const Json& report);

/// Errors: NotFound, DataLoss naming the file.
Result<Json> ReadReport(const std::filesystem::path& file);

}  // namespace ferment::cli
