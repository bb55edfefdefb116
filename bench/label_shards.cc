// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <iostream>
#include <thread>

#include "common/base/json.h"
#include "common/base/logging.h"
#include "common/dataset/labels/label_index.h"
#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/records/open_sources.h"
#include "common/io/checksum.h"
#include "common/nn/backbone.h"
#include "common/nn/tensor_io.h"
#include "labeler/torch_annotator.h"
#include "labeler/work_runner.h"

// Labels a shard of a pack by the production classes, from RecordIO to a committed label set, or only decodes it. Reads
// "label N" and "decode N" (records from the first on) from standard input and answers each with a line of JSON;
// tools/bench_label.py talks to it and to its peers in turn.
namespace ferment::labeler {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Adds up the time that threads spend in another annotator.
class TimedAnnotator final : public Annotator {
 public:
  TimedAnnotator(std::unique_ptr<Annotator> annotator, std::atomic<double>& seconds)
      : annotator_(std::move(annotator)), seconds_(seconds) {}
  std::size_t batch() const override { return annotator_->batch(); }
  std::size_t classes() const override { return annotator_->classes(); }
  Result<Annotation> Annotate(std::span<const dataset::Image> faces) override {
    const auto begin = Clock::now();
    auto annotation = annotator_->Annotate(faces);
    seconds_.fetch_add(SecondsSince(begin));
    return annotation;
  }

 private:
  std::unique_ptr<Annotator> annotator_;
  std::atomic<double>& seconds_;
};

struct Options {
  std::string pack;
  std::filesystem::path work;
  InferenceDevice device{.threads = 2};
  RunSpec spec;
};

Options ParseOptions(int argc, char** argv) {
  Options options;
  std::string backbone = "resnet50";
  std::uint32_t width = 64;
  std::uint32_t image_size = 112;
  std::string plan = "fp32";
  std::string device = "cpu";
  std::uint32_t batch = 64;
  CLI::App app("Times the labeling of shards.", "label_shards");
  app.add_option("--backbone", backbone);
  app.add_option("--width", width);
  app.add_option("--image-size", image_size);
  app.add_option("--plan", plan, "fp32, int8 or bf16");
  app.add_option("--device", device, "cpu or cuda");
  app.add_option("--batch", batch, "labeling.batch");
  app.add_option("--pack", options.pack, "folder of an InsightFace pack")->required();
  app.add_option("--threads", options.device.threads);
  app.add_option("--work", options.work, "folder for network.safetensors, which the peers read, and label sets")
      ->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  const auto chosen = ChooseInferenceDevice(device, /*turn=*/0);
  if (!chosen) {
    std::cerr << chosen.error().ToString() << "\n";
    std::exit(1);
  }
  options.device.cuda = chosen->cuda;
  RunSpec& spec = options.spec;
  spec.mutable_model()->set_backbone(backbone);
  spec.mutable_model()->set_width(width);
  spec.mutable_model()->set_image_size(image_size);
  for (int c = 0; c < 8; ++c) spec.add_classes("class " + std::to_string(c));
  spec.mutable_data()->mutable_fr()->set_format("insightface");
  spec.mutable_data()->mutable_fr()->set_path(options.pack);
  spec.mutable_labeling()->set_batch(batch);
  spec.mutable_labeling()->set_tau(1);
  spec.mutable_labeling()->set_threshold(0.6);
  spec.mutable_labeling()->set_max_damage(0.01);
  spec.mutable_labeling()->set_plan(plan);
  return options;
}

Result<Json> Decode(const RunSpec& spec, std::uint64_t records, int threads) {
  FERMENT_ASSIGN_OR_RETURN(const auto source, dataset::OpenFr(spec));
  std::atomic<std::uint64_t> next = 0;
  std::atomic<std::uint64_t> bytes = 0;
  const auto begin = Clock::now();
  {
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i) {
      workers.emplace_back([&] {
        for (std::uint64_t index = next++; index < records; index = next++) {
          const auto record = source->Read(index);
          if (!record) continue;
          const auto image = dataset::DecodePicture(record->image);
          if (image) bytes += image->rgb.size();
        }
      });
    }
  }
  return Json{{"seconds", SecondsSince(begin)}, {"pixels", bytes.load() / 3}};
}

class Bench {
 public:
  explicit Bench(Options options)
      : options_(std::move(options)),
        runner_([this](const RunSpec& spec, const Model& m) { return Open(spec, m); }, options_.device.threads) {}

  Status Prepare() {
    const auto network = nn::MakeBackbone(nn::BackboneOf(options_.spec), /*seed=*/1, /*stream=*/0);
    teacher_.file = options_.work / "network.safetensors";
    teacher_.output_dir = options_.work / ("labels-" + options_.spec.labeling().plan());
    FERMENT_RETURN_IF_ERROR(nn::SaveTensors(teacher_.file, nn::StateOf(*network)));
    FERMENT_ASSIGN_OR_RETURN(teacher_.digest, io::Sha256OfFile(teacher_.file));
    return {};
  }

  Result<Json> Label(std::uint64_t records) {
    const auto begin = Clock::now();
    network_seconds_ = 0;
    Lease lease;
    lease.key.shard = shard_++;
    lease.run_dir = options_.work;
    lease.spec = std::make_shared<const RunSpec>(options_.spec);
    lease.work = LabelTask{"pack", 0, records, teacher_, "bench"};
    std::atomic<std::uint64_t> done = 0;
    FERMENT_ASSIGN_OR_RETURN(const WorkOutcome outcome, runner_.Run(lease, {}, done));
    FERMENT_RETURN_IF_ERROR(outcome.failure);
    const Counts& counts = outcome.result.counts;
    const ResultFile& file = outcome.result.files.front();
    const auto committed = dataset::CommitToLabelIndex(
        teacher_.output_dir, lease.key.shard,
        {file.file.filename(), file.sha256, {counts.read, counts.labelled, counts.abstained, counts.quarantined}});
    if (!committed) return Fail(committed.error());
    const double seconds = SecondsSince(begin);
    return Json{{"seconds", seconds},
                {"network_share", network_seconds_ / (seconds * options_.device.threads)},
                {"cpu_share", outcome.result.cpu_seconds / (seconds * options_.device.threads)},
                {"file", file.file.string()}};
  }

  Result<Json> Answer(const std::string& what, std::uint64_t records) {
    return what == "decode" ? Decode(options_.spec, records, options_.device.threads) : Label(records);
  }

 private:
  Result<std::unique_ptr<Annotator>> Open(const RunSpec& spec, const Model& model) {
    FERMENT_ASSIGN_OR_RETURN(auto annotator, MakeTorchAnnotator(spec, model.file, model.digest, options_.device));
    return std::make_unique<TimedAnnotator>(std::move(annotator), network_seconds_);
  }

  Options options_;
  WorkRunner runner_;
  Model teacher_;
  std::uint64_t shard_ = 0;
  std::atomic<double> network_seconds_ = 0;
};

int Main(int argc, char** argv) {
  SetUpLogging({.program = "label_shards", .level = LogLevel::kWarning});
  SetInferenceThreads(1);
  KeepFreedMemory();
  Bench bench(ParseOptions(argc, argv));
  if (const Status status = bench.Prepare(); !status.ok()) {
    std::cerr << status.ToString() << "\n";
    return 1;
  }
  std::cout << Json{{"ready", true}}.dump() << std::endl;
  std::string what;
  for (std::uint64_t records = 0; std::cin >> what >> records;) {
    const auto answer = bench.Answer(what, records);
    if (!answer) {
      std::cerr << answer.error().ToString() << "\n";
      return 1;
    }
    std::cout << answer->dump() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace ferment::labeler

int main(int argc, char** argv) { return ferment::labeler::Main(argc, argv); }
