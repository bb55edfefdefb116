// SPDX-License-Identifier: Apache-2.0
#include "labeler/torch_annotator.h"

#include <ATen/Parallel.h>
#include <malloc.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/logging.h"
#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/records/open_sources.h"
#include "common/io/checksum.h"
#include "common/nn/cuda_device.h"
#include "common/nn/inference/cuda_lanes.h"
#include "common/nn/inference/inference_plan.h"
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
  TorchAnnotator(nn::InferencePlan plan, nn::BackboneConfig config, const InferenceDevice& device)
      : plan_(std::move(plan)), config_(std::move(config)) {
    if (device.cuda) lanes_.emplace(*device.cuda);
  }

  std::size_t batch() const override { return static_cast<std::size_t>(plan_.batch()); }
  std::size_t classes() const override { return static_cast<std::size_t>(config_.classes); }
  std::optional<double> agreement() const override { return agreement_; }
  void Agreed(double share) { agreement_ = share; }

  Result<Annotation> Annotate(std::span<const dataset::Image> faces) override {
    FERMENT_ASSIGN_OR_RETURN(const nn::Prediction prediction, nn::Guard([&] {
                               return lanes_ ? lanes_->Run(plan_, nn::StackPixelsForGpu(faces, config_.image_size))
                                             : plan_.Run(nn::StackImages(faces, config_.image_size));
                             }));
    return Annotation{ToVector(prediction.logits), ToVector(prediction.features)};
  }

 private:
  nn::InferencePlan plan_;
  nn::BackboneConfig config_;
  std::optional<nn::CudaLanes> lanes_;
  std::optional<double> agreement_;
};

/// One network and where it is to run.
struct Subject {
  const RunSpec& spec;
  const std::filesystem::path& weights;
  const InferenceDevice& device;
  const std::stop_token& ending;

  nn::BackboneConfig config() const { return nn::BackboneOf(spec); }
  int FacesACall() const {
    const std::uint32_t batch = spec.labeling().batch();
    return static_cast<int>(device.cuda ? batch : std::min(batch, FacesAPass(config())));
  }
  std::unique_ptr<TorchAnnotator> With(nn::InferencePlan plan) const {
    return std::make_unique<TorchAnnotator>(std::move(plan), config(), device);
  }
};

Result<std::unique_ptr<TorchAnnotator>> MakeFp32Annotator(const Subject& subject) {
  const auto& [spec, weights, device, ending] = subject;
  auto plan = device.cuda ? nn::InferencePlan::LoadOnGpu(weights, subject.config(), subject.FacesACall(), *device.cuda)
                          : nn::InferencePlan::Load(weights, subject.config(), subject.FacesACall());
  if (!plan) return Fail(plan.error());
  return subject.With(*std::move(plan));
}

/// Returns: [n, 3, S, S], the records that can be decoded.
Result<torch::Tensor> CalibrationFaces(const dataset::RecordSource& source, int image_size,
                                       const std::stop_token& stop) {
  std::vector<torch::Tensor> faces;
  for (const std::uint64_t index : SpreadIndices(source.size(), kCalibrated)) {
    if (stop.stop_requested()) return Fail(CancelledError("asked to stop"));
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

Result<nn::InferencePlan> LoadReduced(const Subject& subject, const dataset::RecordSource& source) {
  const auto& [spec, weights, device, ending] = subject;
  if (device.cuda) {
    return nn::InferencePlan::LoadOnGpu(weights, subject.config(), subject.FacesACall(), *device.cuda,
                                        torch::kBFloat16);
  }
  FERMENT_ASSIGN_OR_RETURN(const auto faces, CalibrationFaces(source, subject.config().image_size, ending));
  return nn::InferencePlan::LoadQuantized(weights, subject.config(), subject.FacesACall(), faces, ending);
}

Result<std::unique_ptr<TorchAnnotator>> MakeReducedAnnotator(const Subject& subject) {
  const v1::LabelingSpec& labeling = subject.spec.labeling();
  FERMENT_ASSIGN_OR_RETURN(const auto source, dataset::OpenFr(subject.spec, subject.ending));
  FERMENT_ASSIGN_OR_RETURN(auto plan, LoadReduced(subject, *source));
  if (subject.ending.stop_requested()) return Fail(CancelledError("asked to stop"));
  auto reduced = subject.With(std::move(plan));
  FERMENT_ASSIGN_OR_RETURN(const auto exact, MakeFp32Annotator(subject));
  FERMENT_ASSIGN_OR_RETURN(
      const PlanAgreement agreement,
      MeasureAgreement(*source, SpreadIndices(source->size(), kCompared), {*exact, *reduced},
                       {labeling.tau(), labeling.threshold()}, subject.device.threads, subject.ending));
  LogInfo("inference_plan_agreement", {{"plan", labeling.plan()},
                                       {"faces", agreement.faces},
                                       {"compared", agreement.compared},
                                       {"same", agreement.same},
                                       {"flipped", agreement.flipped},
                                       {"agreement", agreement.Share()}});
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

Result<InferenceDevice> ChooseInferenceDevice(std::string_view wanted, int turn) {
  if (wanted == "cpu") return InferenceDevice();
  Status status = nn::OpenCuda();
  if (status.ok()) {
    const int index = turn % nn::CudaDevices();
    status = nn::UseCudaDevice(index);
    if (status.ok()) return InferenceDevice{.cuda = index};
  }
  if (wanted == "cuda") return Fail(status);
  LogInfo("device_chosen", {{"device", "cpu"}, {"why", status.message()}});
  return InferenceDevice();
}

Result<std::unique_ptr<Annotator>> MakeTorchAnnotator(const RunSpec& spec, const std::filesystem::path& weights,
                                                      const std::string& digest, const InferenceDevice& device,
                                                      const std::stop_token& ending) {
  if (!digest.empty()) {
    FERMENT_ASSIGN_OR_RETURN(const std::string found, io::Sha256OfFile(weights));
    if (found != digest) {
      return Fail(DataLossError("the network's file is not the one that was published; run its phase again: file=" +
                                weights.string() + " sha256=" + found + " expected=" + digest));
    }
  }
  const Subject subject{spec, weights, device, ending};
  const std::string& plan = spec.labeling().plan();
  const char* reduced = device.cuda ? "bf16" : "int8";
  if (plan == "fp32" || plan == "auto") return MakeFp32Annotator(subject);
  if (plan == reduced) return MakeReducedAnnotator(subject);
  return Fail(UnimplementedError("there is no such plan on " + std::string(device.cuda ? "a GPU" : "the CPU") +
                                 ": labeling.plan=" + plan + "; allowed: auto | fp32 | " + reduced)
                  .WithExitCode(exit_code::kBadSpec));
}

}  // namespace ferment::labeler
