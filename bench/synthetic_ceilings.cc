// SPDX-License-Identifier: Apache-2.0
#include <torch/nn/functional/loss.h>
#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <cmath>
#include <filesystem>
#include <iostream>
#include <numbers>

#include "common/base/random.h"
#include "common/config/spec_defaults.h"
#include "common/dataset/expression.h"
#include "common/dataset/faces/class_balanced_sampler.h"
#include "common/dataset/faces/face_list.h"
#include "common/dataset/labels/pseudo_label_quality.h"
#include "common/dataset/pictures/jpeg_decoder.h"
#include "common/dataset/records/open_sources.h"
#include "common/dataset/synthetic/synthetic_set.h"
#include "common/nn/augment.h"
#include "common/nn/backbone.h"
#include "common/nn/preprocess.h"
#include "common/report/classification_metrics.h"

// What a supervised network reaches on the rendered faces: from the few labelled ones alone, and from all with true
// labels. synthetic_ceilings SEED [STEPS [FACES [RECORDS]]] prints one row of the table in docs/benchmarks.md.
namespace ferment {
namespace {

constexpr int kImageSize = 56;
constexpr std::uint64_t kBatch = 64;

struct LabelledPixels {
  torch::Tensor pixels;
  std::vector<int> labels;
};

template <typename T>
T OrDie(Result<T> result) {
  if (result) return std::move(*result);
  std::cerr << result.error().ToString() << "\n";
  std::exit(1);
}

LabelledPixels Load(const RunSpec& spec, dataset::FaceSplit split) {
  LabelledPixels loaded;
  std::vector<dataset::Image> images;
  for (const dataset::LabelledFace& face : OrDie(dataset::LoadFaces(spec, split)).faces) {
    images.push_back(OrDie(dataset::ReadFace(face)));
    loaded.labels.push_back(face.label);
  }
  loaded.pixels = nn::StackPixels(images, kImageSize);
  return loaded;
}

LabelledPixels LoadWithTruth(const RunSpec& spec) {
  LabelledPixels loaded;
  std::vector<dataset::Image> images;
  const auto source = OrDie(dataset::OpenFr(spec));
  const auto truth = OrDie(dataset::ReadLabelTruth(spec.labeling().truth(), 8));
  for (std::uint64_t i = 0; i < source->size(); ++i) {
    images.push_back(OrDie(dataset::DecodeJpeg(OrDie(source->Read(i)).image)));
    loaded.labels.push_back(truth.at(source->KeyAt(i)));
  }
  loaded.pixels = nn::StackPixels(images, kImageSize);
  return loaded;
}

double MacroF1(nn::Backbone& network, const LabelledPixels& faces) {
  const torch::NoGradGuard no_grad;
  network.eval();
  const torch::Tensor predicted = network.forward(nn::Normalize(faces.pixels)).argmax(1);
  network.train();
  report::ConfusionMatrix confusion(8);
  for (std::size_t i = 0; i < faces.labels.size(); ++i)
    confusion.Add(faces.labels[i], static_cast<int>(predicted[static_cast<std::int64_t>(i)].item<std::int64_t>()));
  return confusion.MacroF1();
}

double TrainAndScore(const RunSpec& spec, const LabelledPixels& train, const LabelledPixels& validation, int steps) {
  const auto network = nn::MakeBackbone(nn::BackboneOf(spec), spec.seed(), 0);
  const std::vector<std::string> names(spec.classes().begin(), spec.classes().end());
  const auto sampler = OrDie(dataset::ClassBalancedSampler::Create(train.labels, names, spec.seed()));
  torch::optim::SGD optimizer(network->parameters(),
                              torch::optim::SGDOptions(0.05).momentum(0.9).nesterov(true).weight_decay(5e-4));
  for (int step = 0; step < steps; ++step) {
    std::vector<std::int64_t> rows, labels;
    std::vector<std::uint64_t> keys;
    for (std::uint64_t i = 0; i < kBatch; ++i) {
      const dataset::FaceDraw draw = sampler.At(static_cast<std::uint64_t>(step) * kBatch + i);
      rows.push_back(static_cast<std::int64_t>(draw.index));
      labels.push_back(train.labels[draw.index]);
      keys.push_back(RandomBits(draw.index, draw.epoch, 0));
    }
    const torch::Tensor views =
        nn::Normalize(nn::WeakView(train.pixels.index_select(0, torch::tensor(rows)), keys, spec.seed(), 0));
    const torch::Tensor loss =
        torch::nn::functional::cross_entropy(network->forward(views), torch::tensor(labels),
                                             torch::nn::functional::CrossEntropyFuncOptions().label_smoothing(0.1));
    const double warm_up = std::min(1.0, (step + 1) / 20.0);
    const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * step / steps));
    static_cast<torch::optim::SGDOptions&>(optimizer.param_groups()[0].options()).lr(0.05 * warm_up * cosine);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
  }
  return MacroF1(*network, validation);
}

int Main(int argc, char** argv) {
  RunSpec spec = DefaultSpec();
  spec.set_seed(argc > 1 ? std::stoull(argv[1]) : 1);
  const int steps = argc > 2 ? std::stoi(argv[2]) : 240;
  spec.mutable_model()->set_backbone("resnet18");
  spec.mutable_model()->set_width(16);
  const auto size = [&](int position, std::uint32_t otherwise) {
    return argc > position ? static_cast<std::uint32_t>(std::stoul(argv[position])) : otherwise;
  };
  spec.mutable_data()->mutable_synthetic()->set_faces_train(size(3, 480));
  spec.mutable_data()->mutable_synthetic()->set_fr_records(size(4, 4000));
  spec.mutable_model()->set_image_size(kImageSize);
  spec.clear_classes();
  for (const std::string_view name : dataset::kExpressionNames) spec.add_classes(std::string(name));
  const auto out = std::filesystem::temp_directory_path() / ("synthetic_ceilings_" + std::to_string(spec.seed()));
  if (const Status rendered = dataset::RenderSyntheticSets(spec, out); !rendered.ok()) {
    std::cerr << rendered.ToString() << "\n";
    return 1;
  }
  dataset::UseSyntheticSets(spec, out);

  const LabelledPixels few = Load(spec, dataset::FaceSplit::kTrain);
  const LabelledPixels validation = Load(spec, dataset::FaceSplit::kValidation);
  LabelledPixels all = LoadWithTruth(spec);
  all.pixels = torch::cat({few.pixels, all.pixels});
  all.labels.insert(all.labels.begin(), few.labels.begin(), few.labels.end());
  const double from_few = TrainAndScore(spec, few, validation, steps);
  const double from_all = TrainAndScore(spec, all, validation, steps);
  std::cout << "seed " << spec.seed() << " steps " << steps << " macro F1: few labels " << from_few << ", all labels "
            << from_all << std::endl;
  return 0;
}

}  // namespace
}  // namespace ferment

int main(int argc, char** argv) { return ferment::Main(argc, argv); }
