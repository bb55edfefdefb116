// SPDX-License-Identifier: Apache-2.0
#include "labeler/torch_annotator.h"

#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/logging.h"
#include "common/dataset/open_sources.h"
#include "common/dataset/picture_decoder.h"
#include "common/io/checksum.h"
#include "common/nn/inference_plan.h"
#include "common/nn/preprocess.h"
#include "common/nn/torch_guard.h"
#include "labeler/plan_agreement.h"

namespace ferment::labeler {
namespace {

/// Records that a plan of reduced precision is compared with fp32 on, and of them those that its ranges are taken from.
constexpr std::uint64_t kCompared = 512;
constexpr std::uint64_t kCalibrated = 32;

/// Returns: how many faces go through the network together: so few that the largest activation, that of the first
/// layer, stays in a core's share of the last cache, and not so few that the weights are read for next to nothing.
std::uint32_t FacesAPass(const nn::BackboneConfig& config) {
  constexpr std::int64_t kFloats = 1 << 20;
  const std::int64_t side = config.image_size / 2;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(kFloats / (side * side * config.width + 1), 4, 16));
}

std::vector<float> ToVector(const torch::Tensor& tensor) {
  const float* begin = tensor.const_data_ptr<float>();
  return {begin, begin + tensor.numel()};
}

class TorchAnnotator final : public Annotator {
 public:
  TorchAnnotator(nn::InferencePlan plan, nn::BackboneConfig config)
      : plan_(std::move(plan)), config_(std::move(config)) {}

  std::size_t batch() const override { return static_cast<std::size_t>(plan_.batch()); }
  std::size_t classes() const override { return static_cast<std::size_t>(config_.classes); }
  std::optional<double> agreement() const override { return agreement_; }
  void Agreed(double share) { agreement_ = share; }

  Result<Annotation> Annotate(std::span<const dataset::Image> faces) override {
    FERMENT_ASSIGN_OR_RETURN(const torch::Tensor images,
                             nn::Guard([&] { return nn::StackImages(faces, config_.image_size); }));
    FERMENT_ASSIGN_OR_RETURN(const nn::Prediction prediction, plan_.Run(images));
    return Annotation{ToVector(prediction.logits), ToVector(prediction.features)};
  }

 private:
  nn::InferencePlan plan_;
  nn::BackboneConfig config_;
  std::optional<double> agreement_;
};

int FacesACall(const RunSpec& spec) {
  return static_cast<int>(std::min(spec.labeling().batch(), FacesAPass(nn::BackboneOf(spec))));
}

Result<std::unique_ptr<Annotator>> MakeFp32Annotator(const RunSpec& spec, const std::filesystem::path& weights) {
  const nn::BackboneConfig config = nn::BackboneOf(spec);
  FERMENT_ASSIGN_OR_RETURN(auto plan, nn::InferencePlan::Load(weights, config, FacesACall(spec)));
  return std::make_unique<TorchAnnotator>(std::move(plan), config);
}

/// Returns: [n, 3, S, S], the records that can be decoded.
Result<torch::Tensor> CalibrationFaces(const dataset::RecordSource& source, int image_size) {
  std::vector<torch::Tensor> faces;
  for (const std::uint64_t index : SpreadIndices(source.size(), kCalibrated)) {
    const auto record = source.Read(index);
    const auto face = record ? dataset::DecodePicture(record->image) : Result<dataset::Image>(Fail(record.error()));
    if (!face && face.error().code() != StatusCode::kDataLoss) return Fail(face.error());
    if (!face) continue;
    FERMENT_ASSIGN_OR_RETURN(auto stacked, nn::Guard([&] { return nn::StackImages({&*face, 1}, image_size); }));
    faces.push_back(std::move(stacked));
  }
  if (faces.empty()) {
    return Fail(
        DataLossError("none of the records that int8 is made from can be decoded; look at data.fr with "
                      "`ferment data scan`, or use labeling.plan=fp32: records=" +
                      std::to_string(std::min(source.size(), kCalibrated))));
  }
  return nn::Guard([&] { return torch::cat(faces); });
}

Status Refused(const std::filesystem::path& weights, const PlanAgreement& agreement) {
  return FailedPreconditionError("int8 gives other labels than fp32; set labeling.plan to fp32: agreement=" +
                                 std::to_string(agreement.Share()) + " allowed=" + std::to_string(kLeastAgreement) +
                                 " to 1 same=" + std::to_string(agreement.same) +
                                 " of=" + std::to_string(agreement.compared) + " weights=" + weights.string())
      .WithExitCode(exit_code::kBadData);
}

Result<std::unique_ptr<Annotator>> MakeInt8Annotator(const RunSpec& spec, const std::filesystem::path& weights,
                                                     int threads) {
  const nn::BackboneConfig config = nn::BackboneOf(spec);
  FERMENT_ASSIGN_OR_RETURN(const auto source, dataset::OpenFr(spec));
  FERMENT_ASSIGN_OR_RETURN(const auto faces, CalibrationFaces(*source, config.image_size));
  FERMENT_ASSIGN_OR_RETURN(auto plan, nn::InferencePlan::LoadQuantized(weights, config, FacesACall(spec), faces));
  auto reduced = std::make_unique<TorchAnnotator>(std::move(plan), config);
  FERMENT_ASSIGN_OR_RETURN(const auto exact, MakeFp32Annotator(spec, weights));
  FERMENT_ASSIGN_OR_RETURN(const PlanAgreement agreement,
                           MeasureAgreement(*source, SpreadIndices(source->size(), kCompared), *exact, *reduced,
                                            {spec.labeling().tau(), spec.labeling().threshold()}, threads));
  LogInfo("inference_plan_agreement", {{"plan", "int8"},
                                       {"faces", agreement.faces},
                                       {"compared", agreement.compared},
                                       {"same", agreement.same},
                                       {"flipped", agreement.flipped},
                                       {"agreement", agreement.Share()}});
  if (!agreement.Enough()) return Fail(Refused(weights, agreement));
  reduced->Agreed(agreement.Share());
  return reduced;
}

}  // namespace

void SetInferenceThreads(int threads) { at::set_num_threads(threads); }

void KeepFreedMemory() {
  constexpr int kMapped = 32 << 20;  // the most that glibc takes
  mallopt(M_MMAP_THRESHOLD, kMapped);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

Result<std::unique_ptr<Annotator>> MakeTorchAnnotator(const RunSpec& spec, const std::filesystem::path& weights,
                                                      const std::string& digest, int threads) {
  if (!digest.empty()) {
    FERMENT_ASSIGN_OR_RETURN(const std::string found, io::Sha256OfFile(weights));
    if (found != digest) {
      return Fail(DataLossError("the network's file is not the one that was published; run its phase again: file=" +
                                weights.string() + " sha256=" + found + " expected=" + digest));
    }
  }
  const std::string& plan = spec.labeling().plan();
  if (plan == "int8") return MakeInt8Annotator(spec, weights, threads);
  if (plan != "fp32" && plan != "auto") {
    return Fail(
        UnimplementedError("this version has no such plan: labeling.plan=" + plan + "; allowed: auto | fp32 | int8")
            .WithExitCode(exit_code::kBadSpec));
  }
  return MakeFp32Annotator(spec, weights);
}

}  // namespace ferment::labeler
