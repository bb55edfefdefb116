// SPDX-License-Identifier: Apache-2.0
//
// ExpW: data/label/label.lst and pictures of whole scenes with a face box.
#pragma once

#include "common/config/run_spec.h"
#include "common/dataset/faces/face_collector.h"

namespace ferment::dataset {

/// ExpW has no split of its own: without data.fer.validation every tenth picture, by a hash of its name, is validation,
/// so the faces of one picture stay together. Exact repetitions of a row are dropped. Errors: NotFound, DataLoss (file,
/// line) for a row without eight columns.
Status CollectExpW(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces);
/// Returns: the list that it reads.
std::filesystem::path ExpWList(const v1::FerSpec& source, FaceSplit split);

}  // namespace ferment::dataset
