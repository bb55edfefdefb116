// SPDX-License-Identifier: Apache-2.0
//
// The labelled faces of a run: every row of its sources that has a class of the run and a picture on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_spec.h"
#include "common/dataset/expression.h"
#include "common/dataset/pictures/image.h"

namespace ferment::dataset {

enum class FaceSplit { kTrain, kValidation };

struct LabelledFace {
  /// Where the picture is; absolute where the source's path is.
  std::filesystem::path file;
  /// As the list has it, such as "images/train_00001.jpg".
  std::string path;
  /// Into the run's classes.
  int label = 0;
  /// The face in a picture of more than the face (AffectNet 2017, ExpW).
  std::optional<Box> box;
};

struct FaceList {
  std::vector<LabelledFace> faces;
  /// Rows read, kept or not.
  std::uint64_t rows = 0;
  /// Rows a class of the run, by label.
  std::vector<std::uint64_t> per_class;
  /// Rows left out by reason, such as "class-not-in-run: Other", "contempt-dropped", "image-missing",
  /// "face-box-missing".
  std::map<std::string, std::uint64_t> dropped;
  /// Source's fields that a person may want to know of, one sentence each.
  std::vector<std::string> oddities;
};

/// Logs what each source's rows were left out for. Returns: the rows of all sources of the spec, in their order.
/// Errors: NotFound for a missing folder or list, DataLoss for a broken list (file, line), for sources without a
/// row that is kept, and for training without one of the classes (exit 65).
Result<FaceList> LoadFaces(const RunSpec& spec, FaceSplit split);

/// Returns: the same for one source. An empty list is no error here.
Result<FaceList> LoadFaceSource(const v1::FerSpec& source, const ClassMap& classes, FaceSplit split);

/// Returns: the file that names the source's rows; empty, or a folder, where there is none.
std::filesystem::path ListFile(const v1::FerSpec& source, FaceSplit split);

/// Returns: the decoded picture, cropped to its box. Errors: those of DecodePictureFile, face-box-outside.
Result<Image> ReadFace(const LabelledFace& face);

/// Returns: the picture's path relative to data.root where it lies inside, else absolute: the name under which results
/// list it. Absolute too below `rendered`, where a run renders its own sets: these are nobody's data.root.
std::string ListedPath(const RunSpec& spec, const LabelledFace& face, const std::filesystem::path& rendered);

}  // namespace ferment::dataset
