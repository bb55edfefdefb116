// SPDX-License-Identifier: Apache-2.0
//
// Samples of a spec's data sets, read by the readers that a run uses.
#pragma once

#include "cli/doctor/doctor_finding.h"
#include "common/config/run_spec.h"
#include "common/dataset/faces/face_list.h"

namespace ferment::cli {

/// Labelled faces: the lists in full, 100 pictures.
Finding CheckFaces(const RunSpec& spec, dataset::FaceSplit split);
/// Unlabelled faces: the index in full, 100 records.
Finding CheckRecords(const RunSpec& spec);
/// Videos: annotations and folders in full, 100 frames.
Finding CheckFrames(const RunSpec& spec);

}  // namespace ferment::cli
