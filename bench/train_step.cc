// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>
#include <torch/utils.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>

#include "common/base/json.h"
#include "common/nn/tensor_io.h"
#include "worker/collective/thread_collective.h"
#include "worker/recipes/cotrain_step.h"
#include "worker/train/train_metrics.h"

// Steps of co-training by the production classes on drawn tensors, timed one by one. Reads numbers of steps from
// standard input, makes as many, and answers each with a line of JSON; tools/bench_train.py talks to it and to its
// peers in turn.
namespace ferment::worker {
namespace {

struct Options {
  nn::BackboneConfig backbone{.name = "resnet50", .width = 64, .image_size = 112, .classes = 8};
  std::int64_t batch = 16;
  std::int64_t mu = 1;
  int threads = 2;
  std::filesystem::path save;
};

Options ParseOptions(int argc, char** argv) {
  Options options;
  CLI::App app("Times steps of co-training.", "train_step");
  app.add_option("--backbone", options.backbone.name);
  app.add_option("--width", options.backbone.width);
  app.add_option("--image-size", options.backbone.image_size);
  app.add_option("--batch", options.batch);
  app.add_option("--mu", options.mu);
  app.add_option("--threads", options.threads);
  app.add_option("--save", options.save, "folder for the first weights and the batch, which the peers start from")
      ->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return options;
}

std::shared_ptr<nn::Backbone> MakeNetwork(const Options& options) {
  torch::NoGradGuard no_grad;
  auto network = nn::MakeBackbone(options.backbone, /*seed=*/1, /*stream=*/0);
  for (torch::Tensor& parameter : network->parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(torch::MemoryFormat::ChannelsLast));
  }
  return network;
}

CotrainBatch MakeBatch(const Options& options) {
  torch::manual_seed(1);
  const std::int64_t unlabelled = options.batch * options.mu;
  const auto faces = [&](std::int64_t rows) {
    return torch::randn({rows, 3, options.backbone.image_size, options.backbone.image_size})
        .contiguous(torch::MemoryFormat::ChannelsLast);
  };
  CotrainBatch batch;
  batch.labelled = faces(options.batch);
  batch.labels = torch::arange(options.batch) % options.backbone.classes;
  batch.weak = faces(unlabelled);
  batch.strong = faces(unlabelled);
  batch.global_labelled = options.batch;
  batch.global_unlabelled = unlabelled;
  return batch;
}

void Answer(const Json& json) { std::cout << json.dump() << std::endl; }

int Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  torch::set_num_threads(options.threads);
  constexpr SgdOptions kSgd = {.momentum = 0.9, .nesterov = true, .weight_decay = 5e-4, .grad_clip = 0};
  TrainedNetwork teacher(MakeNetwork(options), kSgd);
  TrainedNetwork student(MakeNetwork(options), kSgd);
  AveragedNetwork average(MakeNetwork(options));
  const CotrainBatch batch = MakeBatch(options);
  const Status saved = [&]() -> Status {
    FERMENT_RETURN_IF_ERROR(nn::SaveTensors(options.save / "network.safetensors", nn::StateOf(*teacher.net)));
    return nn::SaveTensors(
        options.save / "batch.safetensors",
        {{"labelled", batch.labelled}, {"labels", batch.labels}, {"weak", batch.weak}, {"strong", batch.strong}});
  }();
  if (!saved.ok()) {
    std::cerr << saved.ToString() << "\n";
    return 1;
  }
  FeedbackBaseline baseline(true);
  const auto alone = MakeSingleCollective();
  const CotrainPlacement placement(*alone);
  CotrainStep step(&teacher, &student, &average, baseline, {.tau = 0.7, .threshold = 0.6, .label_smoothing = 0.1},
                   placement);
  Answer({{"ready", true}});
  std::uint64_t made = 0;
  for (int steps = 0; std::cin >> steps;) {
    Json answer = {{"seconds", Json::array()}};
    for (const std::uint64_t end = made + static_cast<std::uint64_t>(steps); made < end; ++made) {
      const auto began = std::chrono::steady_clock::now();
      const auto outcome =
          step.Run(made, batch, {.lr_teacher = 0.001, .lr_student = 0.001, .lambda = 1, .ema_decay = 0.99});
      answer["seconds"].push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
      if (!outcome || !outcome->finite) return 1;
      answer["losses"] = {outcome->teacher.loss, outcome->student.loss, outcome->student.old_loss,
                          outcome->student.new_loss};
    }
    answer["peak_rss_bytes"] = UsageOfThisProcess().peak_rss_bytes;
    Answer(answer);
  }
  return 0;
}

}  // namespace
}  // namespace ferment::worker

int main(int argc, char** argv) { return ferment::worker::Main(argc, argv); }
