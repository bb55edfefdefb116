// SPDX-License-Identifier: Apache-2.0
//
// The two endless streams of faces that training draws from: labelled ones, and unlabelled ones.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "common/config/run_spec.h"
#include "common/dataset/faces/class_balanced_sampler.h"
#include "common/dataset/faces/face_list.h"
#include "common/dataset/records/fr_sampler.h"
#include "common/dataset/records/open_sources.h"
#include "worker/feed/decoded_faces.h"

namespace ferment::worker {

/// Rows of one stream. `draws` differ between two draws of one face too: they seed its augmentation.
struct FaceBatch {
  torch::Tensor pixels;  // [n, 3, H, W] uint8
  torch::Tensor labels;  // [n] int64; -1 where the stream has none
  /// Index of the face, or key of the record.
  std::vector<std::uint64_t> keys;
  std::vector<std::uint64_t> draws;
};

/// A function of the position: the same on any number of ranks, and after a restart. Thread: any.
class FaceStream {
 public:
  virtual ~FaceStream() = default;
  /// Returns: the faces at positions [begin, end). A damaged face is replaced by another draw that depends on the
  /// position alone. Errors: those of the source; DataLoss where one damaged face follows the other,
  /// or a class has no sound face left.
  virtual Result<FaceBatch> Rows(std::uint64_t begin, std::uint64_t end) = 0;
  /// Returns: indices, into the source, of the damaged faces met by this stream, rising.
  virtual std::vector<std::uint64_t> Damaged() const = 0;
};

/// Returns: data.fer's training faces, class-balanced. Errors: those of LoadFaces; DataLoss (65) naming a class without
/// a face.
Result<std::unique_ptr<FaceStream>> OpenLabelledStream(const RunSpec& spec);

/// Returns: data.fr's faces, drawn by `sampler`. Requires: it draws keys of this source only.
std::unique_ptr<FaceStream> MakeFrStream(const RunSpec& spec, std::unique_ptr<dataset::RecordSource> source,
                                         dataset::FrSampler sampler);

}  // namespace ferment::worker
