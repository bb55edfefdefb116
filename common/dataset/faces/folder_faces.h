// SPDX-License-Identifier: Apache-2.0
//
// Labelled faces in a plain folder: a CSV of paths and classes, or one sub-folder a class.
#pragma once

#include "common/config/run_spec.h"
#include "common/dataset/faces/face_collector.h"

namespace ferment::dataset {

/// The split's list is data.fer.train or .validation, else train.csv, or val.csv or validation.csv; columns by header
/// (path, class), else the first two. A class is a name in any case or an index. Pictures lie beside the list, in the
/// source's folder, or in its images/. A list that is a folder (default: train/, val/ or validation/) has one
/// sub-folder a class. Errors: NotFound (no list), DataLoss (a row without a class: file, line).
Status CollectFolderFaces(const v1::FerSpec& source, FaceSplit split, FaceCollector& faces);

/// Returns: that list or folder; empty where there is none.
std::filesystem::path FolderFacesList(const v1::FerSpec& source, FaceSplit split);

}  // namespace ferment::dataset
