// SPDX-License-Identifier: Apache-2.0
//
// FER+: the ten votes of fer2013new.csv over the pictures of FER2013.
#pragma once

#include "common/config/run_spec.h"
#include "common/dataset/faces/face_collector.h"

namespace ferment::dataset {

/// A row's class is the one with most votes; ties, and majorities for unknown or not-a-face, are dropped. Training and
/// PublicTest are the splits; PrivateTest is passed over. Pictures: FER2013Train/fer0000000.png as the FER+ tool writes
/// them (.jpg also). Errors: NotFound, DataLoss (file, line).
Status CollectFerPlus(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces);
/// Returns: the list that it reads.
std::filesystem::path FerPlusList(const v1::FerSpec& source, FaceSplit split);

}  // namespace ferment::dataset
