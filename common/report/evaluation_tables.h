// SPDX-License-Identifier: Apache-2.0
//
// Reads back evaluation/*.csv: one video frame by frame, and how sure the student is of each face.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "common/report/run_figures.h"

namespace ferment::report {

/// Returns: the video with the most changes of class, at most 600 frames of it; nothing where the table has no row.
std::optional<Timeline> TimelineOf(std::string_view video_csv);

/// Returns: 15 bins of the predicted class' probability; empty where the table has no row. Lines that do not fit the
/// header are passed over.
std::vector<ReliabilityBin> ReliabilityOf(std::string_view static_csv);

}  // namespace ferment::report
