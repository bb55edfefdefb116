// SPDX-License-Identifier: Apache-2.0
#include "common/nn/inference/inference_plan.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include "common/base/logging.h"
#include "common/nn/cuda_device.h"
#include "common/nn/inference/quantized_network.h"
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

const char* NameOf(ConvolutionEngine engine) {
  switch (engine) {
    case ConvolutionEngine::kTiles:
      return "avx2-tiles";
    case ConvolutionEngine::kOneDnn:
      return "onednn";
    case ConvolutionEngine::kCudnnFused:
      return "cudnn-fused";
    case ConvolutionEngine::kCudnn:
      break;
  }
  return "cudnn";
}

torch::Tensor ProbeFaces(const BackboneConfig& config, std::int64_t count) {
  return torch::linspace(-1, 1, count * 3 * config.image_size * config.image_size)
      .view({count, 3, config.image_size, config.image_size});
}

void LogReady(const std::filesystem::path& weights, const char* arithmetic, ConvolutionEngine engine, int batch,
              const torch::Tensor& expected, const torch::Tensor& got) {
  LogInfo("inference_plan_ready", {{"weights", weights.string()},
                                   {"arithmetic", arithmetic},
                                   {"engine", NameOf(engine)},
                                   {"batch", batch},
                                   {"same_labels", torch::equal(expected.argmax(1), got.argmax(1))},
                                   {"largest_difference", (expected - got).abs().max().item<double>()}});
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
    const auto probe = ProbeFaces(config, 2);
    LogReady(weights, "fp32", engine, batch, (*plain)->forward(probe), (*folded)->forward(probe));
  }));
  InferencePlan plan(batch);
  plan.network_ = std::move(*folded);
  return plan;
}

Result<InferencePlan> InferencePlan::LoadQuantized(const std::filesystem::path& weights, const BackboneConfig& config,
                                                   int batch, const torch::Tensor& faces, const std::stop_token& stop) {
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
  FERMENT_ASSIGN_OR_RETURN(auto quantized, Guard([&] {
                             torch::InferenceMode inference;
                             return QuantizedNetwork::Make(StepsOf(config, tensors), faces, EngineOfThisProcessor(),
                                                           stop);
                           }));
  InferencePlan plan(batch);
  plan.quantized_ = std::make_shared<const QuantizedNetwork>(std::move(quantized));
  LogInfo(
      "inference_plan_ready",
      {{"weights", weights.string()}, {"arithmetic", "int8"}, {"batch", batch}, {"calibrated_with", faces.size(0)}});
  return plan;
}

Result<InferencePlan> InferencePlan::LoadOnGpu(const std::filesystem::path& weights, const BackboneConfig& config,
                                               int batch, int device, torch::Dtype type) {
  FERMENT_ASSIGN_OR_RETURN(const NamedTensors tensors, LoadTensors(weights));
  const torch::Device gpu(torch::kCUDA, static_cast<c10::DeviceIndex>(device));
  const auto on_gpu = [&]() -> Result<std::shared_ptr<Backbone>> {
    auto network = LoadNetwork(tensors, config);
    if (!network) return Fail(network.error().With(weights.string()));
    FERMENT_RETURN_IF_ERROR(Guard([&] { (*network)->MoveTo(gpu, torch::kFloat32); }));
    return network;
  };
  FERMENT_ASSIGN_OR_RETURN(const auto plain, on_gpu());
  InferencePlan plan(batch);
  plan.type_ = type;
  Status status;
  // Whether cuDNN has a fused convolution for type and shapes is found out by asking it for whole batches.
  for (const auto engine : {ConvolutionEngine::kCudnnFused, ConvolutionEngine::kCudnn}) {
    FERMENT_ASSIGN_OR_RETURN(plan.network_, on_gpu());
    status = Guard([&] {
      torch::InferenceMode inference;
      plan.network_->FoldBatchNorm({engine, type});
      const auto probe = ProbeFaces(config, batch).to(gpu);
      const auto got = plan.network_->forward(probe.to(type));
      LogReady(weights, type == torch::kBFloat16 ? "bf16" : "fp32", engine, batch, plain->forward(probe), got);
    });
    if (status.ok()) return plan;
    // Another way of computing gives other bits: it is for a shape that cuDNN refuses, not for a device that is full.
    if (const Status why = OfTheGpu(status); why.code() == StatusCode::kResourceExhausted) return Fail(why);
    LogInfo("inference_engine_refused", {{"engine", NameOf(engine)}, {"why", status.message()}});
  }
  return Fail(OfTheGpu(status));
}

Result<Prediction> InferencePlan::Run(const torch::Tensor& images) const {
  return Guard([&] {
    torch::InferenceMode inference;
    at::init_num_threads();  // this thread may be new to LibTorch
    const std::int64_t rows = images.size(0);
    TORCH_CHECK(rows <= batch_, "a batch of ", rows, " is more than the plan's ", batch_);
    auto padded = images.to(type_);
    if (rows < batch_) {
      padded = torch::zeros({batch_, images.size(1), images.size(2), images.size(3)}, padded.options());
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
