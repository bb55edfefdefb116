// SPDX-License-Identifier: Apache-2.0
#include "common/nn/temporal/temporal_plan.h"

#include <torch/types.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/nn/temporal/temporal_encoder.h"
#include "common/nn/temporal/temporal_inference.h"
#include "common/nn/tensor_io.h"
#include "common/nn/torch_guard.h"

namespace ferment::nn {

Result<TemporalPlan> TemporalPlan::Load(const std::filesystem::path& weights, const RunSpec& spec,
                                        std::int64_t input_size) {
  FERMENT_ASSIGN_OR_RETURN(const NamedTensors tensors, LoadTensors(weights));
  TemporalPlan plan;
  FERMENT_ASSIGN_OR_RETURN(plan.encoder_, Guard([&] {
                             return MakeTemporalEncoder(MakeTemporalConfig(spec, spec.temporal().encoder(), input_size),
                                                        /*seed=*/0,
                                                        /*stream=*/0);
                           }));
  if (const Status fits = LoadState(*plan.encoder_, tensors); !fits.ok()) return Fail(fits.With(weights.string()));
  plan.input_size_ = input_size;
  plan.predictor_ = std::make_shared<FramePredictor>(*plan.encoder_, spec.classes_size(), spec.temporal().window(),
                                                     spec.temporal().hop());
  plan.half_width_ = spec.smoothing().half_width();
  return plan;
}

Result<FrameTable> TemporalPlan::Run(std::span<const float> features, const std::vector<bool>& present) const {
  const auto frames = static_cast<std::int64_t>(present.size());
  FERMENT_CHECK(features.size() == present.size() * input_size());
  return Guard([&] {
    FrameFeatures video{torch::empty({frames, input_size_}), present};
    std::ranges::copy(features, video.features.mutable_data_ptr<float>());
    return BoxSmooth(predictor_->Predict(video), half_width_);
  });
}

}  // namespace ferment::nn
