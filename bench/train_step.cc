// SPDX-License-Identifier: Apache-2.0
#include <ATen/Context.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <optional>

#include "bench/bench_device.h"
#include "bench/temporal_bench.h"
#include "common/base/json.h"
#include "common/nn/tensor_io.h"
#include "worker/collective/thread_collective.h"
#include "worker/recipes/cotrain/cotrain_step.h"
#include "worker/train/checkpoint_writer.h"
#include "worker/train/exchange/flat_reductions.h"
#include "worker/train/exchange/gradient_exchange.h"
#include "worker/train/losses.h"
#include "worker/train/process_usage.h"

// Steps by the production classes on drawn tensors, timed one by one: of co-training, of supervised training, of the
// temporal encoder (training, or a video's frames), or what a step waits for a checkpoint. Reads numbers of steps from
// standard input, makes as many, and answers each with a line of JSON; tools/bench_train.py talks to it and to its
// peers in turn.
namespace ferment::worker {
namespace {

struct Options {
  std::string what = "cotrain";
  nn::BackboneConfig backbone{.name = "resnet50", .width = 64, .image_size = 112, .classes = 8};
  std::int64_t batch = 16;
  std::int64_t mu = 1;
  int threads = 2;
  bool in_bfloat16 = false;
  std::string device = "cpu";
  bool cudnn_benchmark = false;
  std::filesystem::path save;

  bool temporal() const { return what == "temporal" || what == "frames"; }
};

Options ParseOptions(int argc, char** argv) {
  Options options;
  CLI::App app("Times steps of training.", "train_step");
  app.add_option("--what", options.what)
      ->check(CLI::IsMember({"cotrain", "supervised", "checkpoint", "temporal", "frames"}));
  app.add_option("--backbone", options.backbone.name);
  app.add_option("--width", options.backbone.width);
  app.add_option("--image-size", options.backbone.image_size);
  app.add_option("--batch", options.batch);
  app.add_option("--mu", options.mu);
  app.add_option("--threads", options.threads);
  app.add_flag("--bfloat16", options.in_bfloat16);
  app.add_option("--device", options.device)->check(CLI::IsMember({"cpu", "cuda"}));
  app.add_flag("--cudnn-benchmark", options.cudnn_benchmark, "let cuDNN choose its algorithms by trial");
  app.add_option("--save", options.save, "folder for the first weights and the batch, which the peers start from")
      ->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  return options;
}

std::shared_ptr<nn::Backbone> MakeNetwork(const Options& options, torch::Device device) {
  auto network = nn::MakeBackbone(options.backbone, /*seed=*/1, /*stream=*/0);
  network->MoveTo(device, torch::kFloat32);
  return network;
}

/// The same numbers on every device.
CotrainBatch MakeBatch(const Options& options, torch::Device device) {
  torch::manual_seed(1);
  const std::int64_t unlabelled = options.batch * options.mu;
  const auto faces = [&](std::int64_t rows) {
    return torch::randn({rows, 3, options.backbone.image_size, options.backbone.image_size})
        .contiguous(torch::MemoryFormat::ChannelsLast)
        .to(device);
  };
  CotrainBatch batch;
  batch.labelled = faces(options.batch);
  batch.labels = (torch::arange(options.batch) % options.backbone.classes).to(device);
  batch.weak = faces(unlabelled);
  batch.strong = faces(unlabelled);
  batch.global_labelled = options.batch;
  batch.global_unlabelled = unlabelled;
  return batch;
}

/// The networks of a job, and its ways to spend time.
class Bench {
 public:
  Bench(const Options& options, torch::Device device)
      : options_(options),
        device_(device),
        batch_(MakeBatch(options, device)),
        writer_([this](const SavedJob& job) { return Write(job); }) {
    teacher_.net->train();
    if (options.temporal()) temporal_.emplace(device);
  }

  /// Writes what the peers start from.
  Status Save() const {
    if (temporal_) return temporal_->Save(options_.save);
    FERMENT_RETURN_IF_ERROR(nn::SaveTensors(options_.save / "network.safetensors", nn::StateOf(*teacher_.net)));
    return nn::SaveTensors(
        options_.save / "batch.safetensors",
        {{"labelled", batch_.labelled}, {"labels", batch_.labels}, {"weak", batch_.weak}, {"strong", batch_.strong}});
  }

  struct Timed {
    double seconds = 0;
    std::vector<double> losses;
  };
  Result<Timed> Make(std::uint64_t step) {
    AwaitDevice(device_);
    const auto began = std::chrono::steady_clock::now();
    Timed timed;
    if (options_.what == "cotrain") {
      FERMENT_ASSIGN_OR_RETURN(timed.losses, Cotrain(step));
    } else if (options_.what == "supervised") {
      FERMENT_ASSIGN_OR_RETURN(timed.losses, Supervised());
    } else if (options_.what == "temporal") {
      timed.losses = temporal_->Train();
    } else if (options_.what == "frames") {
      timed.losses = temporal_->Predict();
    } else {
      FERMENT_RETURN_IF_ERROR(BeginCheckpoint(step));
    }
    AwaitDevice(device_);
    timed.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    // The next one is due when this one has long been written.
    FERMENT_RETURN_IF_ERROR(writer_.Wait());
    // The masks of dropout are a matter of luck.
    if (options_.what == "temporal") timed.losses = {temporal_->LossInEvaluation()};
    return timed;
  }

 private:
  Result<std::vector<double>> Cotrain(std::uint64_t step) {
    FERMENT_ASSIGN_OR_RETURN(
        const CotrainOutcome outcome,
        step_.Run(step, batch_, {.lr_teacher = 0.001, .lr_student = 0.001, .lambda = 1, .ema_decay = 0.99}));
    if (!outcome.finite) return Fail(InternalError("the step is not finite"));
    return std::vector{outcome.teacher.loss, outcome.student.loss, outcome.student.old_loss, outcome.student.new_loss};
  }

  /// As worker/recipes/supervised_recipe.cc makes it.
  Result<std::vector<double>> Supervised() {
    teacher_.Remember(TrainedNetwork::Keep::kStatistics);
    teacher_.bucket.ZeroGradients();
    const torch::Tensor sum = CrossEntropySum(teacher_.net->forward(batch_.labelled), batch_.labels, kSmoothing);
    FERMENT_RETURN_IF_ERROR(exchange_.Backward(sum / batch_.global_labelled));
    const double norm = teacher_.sgd.GradientNorm();
    if (!AllFinite(teacher_.statistics.statistics())) return Fail(InternalError("statistics are not finite"));
    if (!teacher_.sgd.StaysFinite(0.001, norm)) return Fail(InternalError("weights are not finite"));
    teacher_.sgd.Step(0.001, norm);
    return std::vector{sum.item<double>() / static_cast<double>(batch_.global_labelled)};
  }

  Status BeginCheckpoint(std::uint64_t step) {
    SavedJob job{.next_step = step, .samples = 0, .nonfinite = 0, .state = {}};
    job.state.tensors = {{"teacher", nn::StateOf(*teacher_.net)},
                         {"student", nn::StateOf(*student_.net)},
                         {"ema", nn::StateOf(*average_.net)},
                         {"teacher_optimizer", teacher_.bucket.Named(teacher_.sgd.momentum())},
                         {"student_optimizer", student_.bucket.Named(student_.sgd.momentum())}};
    return writer_.Begin(job);
  }
  Status Write(const SavedJob& job) const {
    for (const auto& [name, tensors] : job.state.tensors)
      FERMENT_RETURN_IF_ERROR(nn::SaveTensors(options_.save / ("checkpoint-" + name + ".safetensors"), tensors));
    return Status();
  }

  static constexpr double kSmoothing = 0.1;
  static constexpr SgdOptions kSgd = {.momentum = 0.9, .nesterov = true, .weight_decay = 5e-4, .grad_clip = 0};

  const Options options_;
  const torch::Device device_;
  /// Where its steps are asked for.
  std::optional<TemporalBench> temporal_;
  TrainedNetwork teacher_{MakeNetwork(options_, device_), kSgd};
  TrainedNetwork student_{MakeNetwork(options_, device_), kSgd};
  AveragedNetwork average_{MakeNetwork(options_, device_)};
  const CotrainBatch batch_;
  FeedbackBaseline baseline_{true};
  const std::unique_ptr<Collective> alone_ = MakeSingleCollective();
  const CotrainPlacement placement_{*alone_};
  GradientExchange exchange_{teacher_.bucket, *alone_};
  CotrainStep step_{&teacher_,
                    &student_,
                    &average_,
                    baseline_,
                    {.tau = 0.7, .threshold = 0.6, .label_smoothing = kSmoothing, .in_bfloat16 = options_.in_bfloat16},
                    placement_};
  CheckpointWriter writer_;
};

void Answer(const Json& json) { std::cout << json.dump() << std::endl; }

int Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  const auto device = OpenBenchDevice(options.device);
  if (!device) {
    std::cerr << device.error().ToString() << "\n";
    return 1;
  }
  torch::set_num_threads(options.threads);
  at::globalContext().setBenchmarkCuDNN(options.cudnn_benchmark);
  Bench bench(options, *device);
  if (const Status saved = bench.Save(); !saved.ok()) {
    std::cerr << saved.ToString() << "\n";
    return 1;
  }
  Answer({{"ready", true}});
  std::uint64_t made = 0;
  for (int steps = 0; std::cin >> steps;) {
    Json answer = {{"seconds", Json::array()}};
    for (const std::uint64_t end = made + static_cast<std::uint64_t>(steps); made < end; ++made) {
      const auto timed = bench.Make(made);
      if (!timed) {
        std::cerr << timed.error().ToString() << "\n";
        return 1;
      }
      answer["seconds"].push_back(timed->seconds);
      answer["losses"] = timed->losses;
    }
    answer["peak_rss_bytes"] = UsageOfThisProcess().peak_rss_bytes;
    if (!device->is_cpu()) answer["peak_device_bytes"] = PeakDeviceBytes(*device);
    Answer(answer);
  }
  return 0;
}

}  // namespace
}  // namespace ferment::worker

int main(int argc, char** argv) { return ferment::worker::Main(argc, argv); }
