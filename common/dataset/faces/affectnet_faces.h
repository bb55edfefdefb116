// SPDX-License-Identifier: Apache-2.0
//
// AffectNet as its two releases lay it out (docs/formats.md, "What labelled faces are read as").
#pragma once

#include "common/config/run_spec.h"
#include "common/dataset/faces/face_collector.h"

namespace ferment::dataset {

/// 2017: Manually_Annotated_file_lists/{training,validation}.csv and pictures of whole scenes with a face box; rows
/// without a box, and of the classes None, Uncertain, No-Face, are dropped. Errors: NotFound, DataLoss (file, line) for
/// a row without an expression.
Status CollectAffectNet2017(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces);
/// Returns: the list that it reads.
std::filesystem::path AffectNet2017List(const v1::FerSpec& source, FaceSplit split);

/// 2021: {train,val}_set/{images/<id>.jpg, annotations/<id>_exp.npy}; an annotation that cannot be read is dropped.
/// Errors: NotFound.
Status CollectAffectNet2021(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces);

}  // namespace ferment::dataset
