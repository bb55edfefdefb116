// SPDX-License-Identifier: Apache-2.0
#include "common/io/formats/weights_import.h"

#include <algorithm>
#include <array>
#include <map>

#include "common/io/shown_name.h"

namespace ferment::io {
namespace {

constexpr std::size_t kMaxFaults = 500;
constexpr std::int64_t kAny = -1;
constexpr std::int64_t kMaxWidth = 64;
constexpr std::string_view kCounter = "num_batches_tracked";
/// Wrappers that put a word before every name.
constexpr std::array<std::string_view, 4> kPrefixes = {"module.", "_orig_mod.", "backbone.", "model."};

class TensorList {
 public:
  void Add(std::string name, std::vector<std::int64_t> shape) { list_.push_back({std::move(name), std::move(shape)}); }
  void Convolution(const std::string& name, std::int64_t out, std::int64_t in, std::int64_t kernel) {
    Add(name + ".weight", {out, in, kernel, kernel});
  }
  void Norm(const std::string& name, std::int64_t channels) {
    for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) Add(name + part, {channels});
    Add(name + "." + std::string(kCounter), {});
  }
  void Shortcut(const std::string& block, std::int64_t out, std::int64_t in) {
    Convolution(block + "downsample.0", out, in, 1);
    Norm(block + "downsample.1", out);
  }
  std::vector<BackboneTensor> Take() { return std::move(list_); }

 private:
  std::vector<BackboneTensor> list_;
};

std::string BlockName(std::size_t stage, int block) {
  return "layer" + std::to_string(stage + 1) + "." + std::to_string(block) + ".";
}

std::vector<BackboneTensor> ResNetTensors(bool bottleneck, std::int64_t width) {
  const std::array<int, 4> depths = bottleneck ? std::array{3, 4, 6, 3} : std::array{2, 2, 2, 2};
  TensorList list;
  list.Convolution("conv1", width, 3, 7);
  list.Norm("bn1", width);
  std::int64_t channels = width;
  for (std::size_t stage = 0; stage < depths.size(); ++stage)
    for (int i = 0; i < depths[stage]; ++i) {
      const std::string block = BlockName(stage, i);
      const std::int64_t planes = width << stage;
      const std::int64_t out = bottleneck ? 4 * planes : planes;
      list.Convolution(block + "conv1", planes, channels, bottleneck ? 1 : 3);
      list.Norm(block + "bn1", planes);
      list.Convolution(block + "conv2", planes, planes, 3);
      list.Norm(block + "bn2", planes);
      if (bottleneck) {
        list.Convolution(block + "conv3", out, planes, 1);
        list.Norm(block + "bn3", out);
      }
      if (i == 0 && (stage > 0 || channels != out)) list.Shortcut(block, out, channels);
      channels = out;
    }
  list.Add("fc.weight", {kAny, channels});
  list.Add("fc.bias", {kAny});
  return list.Take();
}

std::vector<BackboneTensor> IResNetTensors(std::int64_t width) {
  static constexpr std::array kDepths = {3, 4, 14, 3};
  TensorList list;
  list.Convolution("conv1", width, 3, 3);
  list.Norm("bn1", width);
  list.Add("prelu.weight", {width});
  std::int64_t channels = width;
  for (std::size_t stage = 0; stage < kDepths.size(); ++stage)
    for (int i = 0; i < kDepths[stage]; ++i) {
      const std::string block = BlockName(stage, i);
      const std::int64_t out = width << stage;
      list.Norm(block + "bn1", channels);
      list.Convolution(block + "conv1", out, channels, 3);
      list.Norm(block + "bn2", out);
      list.Add(block + "prelu.weight", {out});
      list.Convolution(block + "conv2", out, out, 3);
      list.Norm(block + "bn3", out);
      if (i == 0) list.Shortcut(block, out, channels);
      channels = out;
    }
  list.Norm("bn2", channels);
  list.Add("fc.weight", {channels, kAny});
  list.Add("fc.bias", {channels});
  list.Norm("features", channels);
  list.Add("classifier.weight", {kAny, channels});
  list.Add("classifier.bias", {kAny});
  return list.Take();
}

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape)
    text += (text.size() > 1 ? ", " : "") + (extent == kAny ? std::string("any") : std::to_string(extent));
  return text + "]";
}

bool SameShape(const std::vector<std::int64_t>& found, const std::vector<std::int64_t>& wanted) {
  return std::equal(found.begin(), found.end(), wanted.begin(), wanted.end(),
                    [](std::int64_t have, std::int64_t want) { return want == kAny ? have > 0 : have == want; });
}

/// Returns: what stood before every name, now gone from them.
std::string StripPrefixes(NamedTensorViews& views) {
  std::string stripped;
  for (bool again = !views.empty(); again;) {
    again = false;
    for (const std::string_view prefix : kPrefixes) {
      const bool all =
          std::all_of(views.begin(), views.end(), [&](const auto& v) { return v.first.starts_with(prefix); });
      if (!all) continue;
      for (auto& [name, view] : views) name.erase(0, prefix.size());
      stripped += prefix;
      again = true;
    }
  }
  return stripped;
}

Result<std::string> GuessBackbone(const std::map<std::string, TensorView>& given) {
  if (given.contains("prelu.weight") && given.contains("layer1.0.prelu.weight")) return "iresnet50";
  if (given.contains("layer1.0.conv3.weight")) return "resnet50";
  if (given.contains("layer1.0.conv2.weight")) return "resnet18";
  std::string first = given.empty() ? "none" : ShownName(given.begin()->first);
  return Fail(
      DataLossError("not the names of torchvision's resnet18 or resnet50, nor of InsightFace's iresnet50: tensors=" +
                    std::to_string(given.size()) + " first=" + first));
}

Result<std::int64_t> WidthOf(const std::map<std::string, TensorView>& given) {
  const auto stem = given.find("conv1.weight");
  if (stem == given.end() || stem->second.shape.size() != 4)
    return Fail(DataLossError("no first convolution to tell the width from: wanted=conv1.weight of 4 dimensions"));
  const std::int64_t width = stem->second.shape[0];
  if (width < 1 || width > kMaxWidth)
    return Fail(DataLossError("a width that networks here do not have: width=" + std::to_string(width) +
                              " allowed=1 to " + std::to_string(kMaxWidth)));
  return width;
}

/// Moves tensors out of what was given, one by one, and keeps every complaint.
class Fitting {
 public:
  explicit Fitting(std::map<std::string, TensorView>& given) : given_(given) {}

  void Take(const BackboneTensor& wanted, bool optional, ImportedWeights& into) {
    const auto found = given_.find(wanted.name);
    const bool counter = wanted.name.ends_with(kCounter);
    if (found == given_.end()) {
      if (counter) {
        into.weights.Add(wanted.name, {.dtype = "I64", .shape = {}, .data = {}}, std::vector<std::byte>(8));
        ++into.counters_added;
      } else if (!optional) {
        Complain("missing " + wanted.name);
      }
      return;
    }
    const TensorView& view = found->second;
    const bool number = counter
                            ? view.dtype == "I64"
                            : view.dtype == "F32" || view.dtype == "F16" || view.dtype == "BF16" || view.dtype == "F64";
    if (!SameShape(view.shape, wanted.shape)) {
      Complain(wanted.name + " is " + ShapeText(view.shape) + ", wanted " + ShapeText(wanted.shape));
    } else if (!number) {
      Complain(wanted.name + " is of type " + view.dtype);
    } else {
      into.weights.views.emplace_back(wanted.name, view);
    }
    given_.erase(found);
  }

  Status Verdict(const ImportedWeights& into) {
    for (const auto& [name, view] : given_) Complain("surplus " + ShownName(name));
    if (count_ == 0) return {};
    return DataLossError("weights do not fit " + into.backbone + " of width " + std::to_string(into.width) + ":" +
                         faults_ + "\n  faults=" + std::to_string(count_));
  }

 private:
  void Complain(const std::string& text) {
    if (++count_ <= kMaxFaults) faults_ += "\n  " + text;
  }

  std::map<std::string, TensorView>& given_;
  std::string faults_;
  std::size_t count_ = 0;
};

}  // namespace

std::vector<BackboneTensor> BackboneTensors(std::string_view backbone, std::int64_t width) {
  return backbone == "iresnet50" ? IResNetTensors(width) : ResNetTensors(backbone == "resnet50", width);
}

std::string_view HeadPrefix(std::string_view backbone) { return backbone == "iresnet50" ? "classifier." : "fc."; }

Result<ImportedWeights> ImportWeights(WeightsFile file, std::string_view backbone) {
  ImportedWeights imported;
  imported.prefix = StripPrefixes(file.views);
  std::map<std::string, TensorView> given(file.views.begin(), file.views.end());
  if (backbone.empty()) {
    FERMENT_ASSIGN_OR_RETURN(imported.backbone, GuessBackbone(given));
  } else {
    imported.backbone = backbone;
  }
  FERMENT_ASSIGN_OR_RETURN(imported.width, WidthOf(given));
  imported.weights = std::move(file);
  imported.weights.views.clear();
  Fitting fitting(given);
  for (const BackboneTensor& wanted : BackboneTensors(imported.backbone, imported.width))
    fitting.Take(wanted, wanted.name.starts_with(HeadPrefix(imported.backbone)), imported);
  FERMENT_RETURN_IF_ERROR(fitting.Verdict(imported));
  std::vector<std::int64_t> head;
  for (const auto& [name, view] : imported.weights.views)
    if (name.starts_with(HeadPrefix(imported.backbone))) head.push_back(view.shape[0]);
  if (!head.empty() && (head.size() != 2 || head[0] != head[1]))
    return Fail(DataLossError("half a head: its weight and bias are not of one number of classes"));
  imported.classes = head.empty() ? 0 : head[0];
  return imported;
}

}  // namespace ferment::io
