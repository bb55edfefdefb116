// SPDX-License-Identifier: Apache-2.0
//
// A network's probabilities on the labelled validation faces, and what follows from them.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/base/result.h"
#include "common/config/run_layout.h"
#include "common/config/run_spec.h"
#include "common/dataset/faces/face_list.h"
#include "common/nn/backbone.h"
#include "worker/collective/collective.h"

namespace ferment::worker {

/// Probabilities of every face, filled batch by batch. Guarded by nothing: one thread.
class StaticEvaluation {
 public:
  /// The references outlive it. Requires: network is in evaluation mode; any device.
  StaticEvaluation(const RunSpec& spec, const std::vector<dataset::LabelledFace>& faces, nn::Backbone& network)
      : spec_(spec),
        faces_(faces),
        network_(network),
        probabilities_(torch::zeros({static_cast<std::int64_t>(faces.size()), spec.classes_size()})) {}

  std::size_t batches() const;
  /// Rows of batch `index` are split over the ranks and their probabilities added. Returns: faces of the
  /// batch, over all ranks. Errors: DataLoss naming an unreadable face.
  Result<std::size_t> RunBatch(std::size_t index, Collective& world);

  /// [N, C] float32, on the CPU.
  const torch::Tensor& probabilities() const { return probabilities_; }
  /// One entry of evaluation.static of report.json.
  Json Figures(const std::string& model, const std::string& dataset) const;
  /// Writes the run's static_validation.csv: path,label,prediction,p_<class>... a face. Errors: as WriteFileAtomically.
  Status WriteCsv(const RunLayout& layout) const;

 private:
  const RunSpec& spec_;
  const std::vector<dataset::LabelledFace>& faces_;
  nn::Backbone& network_;
  torch::Tensor probabilities_;
};

}  // namespace ferment::worker
