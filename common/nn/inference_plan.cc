// SPDX-License-Identifier: Apache-2.0
#include "common/nn/inference_plan.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include "common/base/logging.h"
#include "common/nn/quantized_network.h"
#include "common/nn/tensor_io.h"
#include "common/nn/torch_guard.h"

namespace ferment::nn {
namespace {

Result<std::shared_ptr<Backbone>> LoadNetwork(const NamedTensors& weights, const BackboneConfig& config) {
  FERMENT_ASSIGN_OR_RETURN(auto network, Guard([&] { return MakeBackbone(config, /*seed=*/0, /*stream=*/0); }));
  FERMENT_RETURN_IF_ERROR(LoadState(*network, weights));
  network->eval();
  return network;
}

}  // namespace

Result<InferencePlan> InferencePlan::Load(const std::filesystem::path& weights, const BackboneConfig& config, int batch,
                                          ConvolutionEngine engine) {
  FERMENT_ASSIGN_OR_RETURN(const NamedTensors tensors, LoadTensors(weights));
  const auto in_file = [&](const Status& status) { return status.With(weights.string()); };
  auto plain = LoadNetwork(tensors, config);
  if (!plain) return Fail(in_file(plain.error()));
  auto folded = LoadNetwork(tensors, config);
  if (!folded) return Fail(in_file(folded.error()));
  FERMENT_RETURN_IF_ERROR(Guard([&] {
    (*folded)->FoldBatchNorm(engine);
    torch::InferenceMode inference;
    const auto probe = torch::linspace(-1, 1, std::int64_t{2} * 3 * config.image_size * config.image_size)
                           .view({2, 3, config.image_size, config.image_size});
    const auto expected = (*plain)->forward(probe);
    const auto got = (*folded)->forward(probe);
    LogInfo("inference_plan_ready", {{"weights", weights.string()},
                                     {"arithmetic", "fp32"},
                                     {"engine", engine == ConvolutionEngine::kTiles ? "avx2-tiles" : "onednn"},
                                     {"batch", batch},
                                     {"same_labels", torch::equal(expected.argmax(1), got.argmax(1))},
                                     {"largest_difference", (expected - got).abs().max().item<double>()}});
  }));
  InferencePlan plan(batch);
  plan.network_ = std::move(*folded);
  return plan;
}

Result<InferencePlan> InferencePlan::LoadQuantized(const std::filesystem::path& weights, const BackboneConfig& config,
                                                   int batch, const torch::Tensor& faces, ConvolutionEngine engine) {
  if (!QuantizedConvolution::SuitsThisProcessor()) {
    return Fail(UnimplementedError("int8 needs a processor with AVX2 and FMA; use fp32: labeling.plan=int8")
                    .WithExitCode(exit_code::kBadSpec));
  }
  FERMENT_ASSIGN_OR_RETURN(const NamedTensors tensors, LoadTensors(weights));
  // Says what is missing, or of another shape.
  const auto plain = LoadNetwork(tensors, config);
  if (!plain) return Fail(plain.error().With(weights.string()));
  for (const auto& [name, tensor] : tensors) {
    if (tensor.isfinite().all().item<bool>()) continue;
    return Fail(
        InvalidArgumentError("int8 needs finite weights; use fp32: file=" + weights.string() + " tensor=" + name)
            .WithExitCode(exit_code::kBadData));
  }
  InferencePlan plan(batch);
  FERMENT_RETURN_IF_ERROR(Guard([&] {
    torch::InferenceMode inference;
    plan.quantized_ = std::make_shared<const QuantizedNetwork>(StepsOf(config, tensors), faces, engine);
  }));
  LogInfo(
      "inference_plan_ready",
      {{"weights", weights.string()}, {"arithmetic", "int8"}, {"batch", batch}, {"calibrated_with", faces.size(0)}});
  return plan;
}

Result<Prediction> InferencePlan::Run(const torch::Tensor& images) const {
  return Guard([&] {
    torch::InferenceMode inference;
    at::init_num_threads();  // this thread may be new to LibTorch
    const std::int64_t rows = images.size(0);
    TORCH_CHECK(rows <= batch_, "a batch of ", rows, " is more than the plan's ", batch_);
    auto padded = images;
    if (rows < batch_) {
      padded = torch::zeros({batch_, images.size(1), images.size(2), images.size(3)});
      padded.slice(0, 0, rows).copy_(images);
    }
    Prediction all;
    if (quantized_ != nullptr) {
      all = quantized_->Run(padded);
    } else {
      all.features = network_->Features(padded);
      all.logits = network_->Classify(all.features);
    }
    return Prediction{all.features.slice(0, 0, rows).contiguous(), all.logits.slice(0, 0, rows).contiguous()};
  });
}

}  // namespace ferment::nn
