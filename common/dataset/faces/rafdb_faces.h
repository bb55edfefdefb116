// SPDX-License-Identifier: Apache-2.0
//
// RAF-DB's basic expressions: EmoLabel/list_patition_label.txt and Image/aligned.
#pragma once

#include "common/config/run_spec.h"
#include "common/dataset/faces/face_collector.h"

namespace ferment::dataset {

/// The split is the file name's prefix, train_ or test_. Errors: NotFound; DataLoss (file, line) for a label
/// outside 1..7, which means that the list is of the compound subset.
Status CollectRafDb(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces);
/// Returns: the list that it reads.
std::filesystem::path RafDbList(const v1::FerSpec& source, FaceSplit split);

}  // namespace ferment::dataset
