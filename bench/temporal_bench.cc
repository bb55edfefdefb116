// SPDX-License-Identifier: Apache-2.0
#include "bench/temporal_bench.h"

#include <torch/nn/functional/loss.h>
#include <torch/utils.h>

#include "common/nn/tensor_io.h"

namespace ferment::worker {

TemporalBench::TemporalBench(torch::Device device)
    : encoder_(nn::MakeTemporalEncoder({.encoder = "transformer",
                                        .input_size = kInput,
                                        .d_model = 512,
                                        .layers = 4,
                                        .heads = 8,
                                        .feed_forward = 2048,
                                        .dropout = 0.1,
                                        .classes = kClasses},
                                       1, 0)) {
  encoder_->to(device);
  torch::manual_seed(1);
  windows_ = torch::randn({kBatch, kWindow, kInput}).to(device);
  labels_ = (torch::arange(kBatch * kWindow) % kClasses).to(device);
  video_ = {torch::randn({kFrames, kInput}), std::vector<bool>(static_cast<std::size_t>(kFrames), true)};
  for (const auto& item : encoder_->named_parameters()) parameters_.emplace_back(item.key(), item.value());
  optimizer_.emplace(parameters_, AdamWOptions{});
}

Status TemporalBench::Save(const std::filesystem::path& folder) const {
  FERMENT_RETURN_IF_ERROR(nn::SaveTensors(folder / "temporal.safetensors", nn::StateOf(*encoder_)));
  return nn::SaveTensors(folder / "windows.safetensors",
                         {{"windows", windows_}, {"labels", labels_}, {"video", video_.features}});
}

std::vector<double> TemporalBench::Train() {
  encoder_->train();
  encoder_->zero_grad();
  const torch::Tensor loss = Loss({.bits = ++steps_});
  loss.backward();
  optimizer_->Step(1e-4);
  return {loss.item<double>()};
}

double TemporalBench::LossInEvaluation() {
  const torch::NoGradGuard no_grad;
  encoder_->eval();
  return Loss({}).item<double>();
}

std::vector<double> TemporalBench::Predict() {
  if (!predictor_) predictor_.emplace(*encoder_, kClasses, kWindow, kWindow / 2);
  const nn::FrameTable table = predictor_->Predict(video_);
  return {table.Row(0)[0], table.Row(table.frames() - 1)[0]};
}

torch::Tensor TemporalBench::Loss(const nn::DropoutSeed& seed) {
  const torch::Tensor present = torch::ones({kBatch, kWindow}, windows_.options().dtype(torch::kBool));
  return torch::nn::functional::cross_entropy(encoder_->forward(windows_, present, seed).flatten(0, 1), labels_);
}

}  // namespace ferment::worker
