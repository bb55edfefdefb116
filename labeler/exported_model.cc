// SPDX-License-Identifier: Apache-2.0
#include "labeler/exported_model.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/json.h"
#include "common/io/checksum.h"
#include "common/io/local_file_system.h"
#include "labeler/torch_annotator.h"

namespace ferment::labeler {
namespace {

/// Reads fields of one JSON object and remembers the first that is missing or out of its range.
class FieldReader {
 public:
  explicit FieldReader(const Json& json) : json_(json) {}

  std::uint32_t Number(const char* key, std::uint32_t min, std::uint32_t max) {
    if (json_.contains(key) && json_[key].is_number_unsigned() && json_[key] >= min && json_[key] <= max)
      return json_[key].get<std::uint32_t>();
    Fault(key);
    return min;
  }
  std::string Text(const char* key) {
    if (json_.contains(key) && json_[key].is_string()) return json_[key].get<std::string>();
    Fault(key);
    return {};
  }
  /// Returns: the name of a file beside model.json.
  std::string FileName(const char* key) {
    std::string name = Text(key);
    if (name.empty() || name.find('/') != std::string::npos) Fault(key);
    return name;
  }
  std::string OneOf(const char* key, std::initializer_list<std::string_view> known) {
    std::string text = Text(key);
    if (std::find(known.begin(), known.end(), text) == known.end()) Fault(key);
    return text;
  }
  std::vector<std::string> Names(const char* key) {
    std::vector<std::string> names;
    if (json_.contains(key) && json_[key].is_array()) {
      for (const Json& name : json_[key])
        if (name.is_string()) names.push_back(name.get<std::string>());
    }
    if (names.empty() || names.size() > 255 || names.size() != json_[key].size()) Fault(key);
    return names;
  }
  void Fault(const std::string& key) {
    if (!fault_.empty()) return;
    fault_ = key + "=" + (json_.contains(key) ? json_[key].dump().substr(0, 80) : "(absent)");
  }
  const std::string& fault() const { return fault_; }

 private:
  const Json& json_;
  std::string fault_;
};

Status Unreadable(const std::filesystem::path& file, const std::string& fault) {
  return DataLossError(
             "this version cannot read the exported model; use the version that wrote it, or export it anew "
             "(`ferment run`): file=" +
             file.string() + " " + fault)
      .WithExitCode(exit_code::kUnreadableState);
}

/// What model.json says of one network's file.
struct WeightsFile {
  std::string name;
  std::string digest;
};

Result<WeightsFile> ReadModel(const Json& json, RunSpec& spec) {
  FieldReader reader(json);
  (void)reader.OneOf("format", {"ferment.model/v1"});
  auto& model = *spec.mutable_model();
  model.set_backbone(reader.OneOf("backbone", {"resnet18", "resnet50", "iresnet50"}));
  model.set_width(reader.Number("width", 1, 64));
  model.set_image_size(reader.Number("image_size", 1, 4096));
  for (const std::string& name : reader.Names("classes")) spec.add_classes(name);
  WeightsFile weights{reader.FileName("file"), reader.Text("digest")};
  if (!reader.fault().empty()) return Fail(DataLossError(reader.fault()));
  return weights;
}

struct TemporalFile {
  WeightsFile weights;
  std::int64_t input_size;
};

Result<TemporalFile> ReadTemporal(const Json& json, RunSpec& spec) {
  FieldReader reader(json);
  auto& temporal = *spec.mutable_temporal();
  temporal.set_encoder(reader.OneOf("encoder", {"transformer", "gru", "tcn", "none"}));
  temporal.set_d_model(reader.Number("d_model", 1, 8192));
  temporal.set_layers(reader.Number("layers", 1, 64));
  temporal.set_heads(reader.Number("heads", 1, 64));
  if (temporal.encoder() == "transformer" && temporal.d_model() % temporal.heads() != 0) reader.Fault("heads");
  temporal.set_feed_forward(reader.Number("feed_forward", 1, 65536));
  temporal.set_window(reader.Number("window", 1, 65536));
  temporal.set_hop(reader.Number("hop", 1, temporal.window()));
  spec.mutable_smoothing()->set_half_width(reader.Number("smoothing_half_width", 0, 65536));
  const TemporalFile file{{reader.FileName("file"), reader.Text("digest")}, reader.Number("input_size", 1, 65536)};
  if (!reader.fault().empty()) return Fail(DataLossError("temporal." + reader.fault()));
  return file;
}

Status CheckDigest(const std::filesystem::path& file, const std::string& digest) {
  FERMENT_ASSIGN_OR_RETURN(const std::string found, io::Sha256OfFile(file));
  if (found == digest) return {};
  return DataLossError(
      "the weights are not the ones that model.json names; copy the export folder as a whole: "
      "file=" +
      file.string() + " sha256=" + found + " expected=" + digest);
}

}  // namespace

Result<ExportedModel> OpenExportedModel(const std::filesystem::path& folder, std::uint32_t batch,
                                        const InferenceDevice& device) {
  const auto file = folder / "model.json";
  const auto text = io::ReadTextFile(file);
  if (!text && text.error().code() == StatusCode::kNotFound)
    return Fail(
        NotFoundError("no exported model here; give the folder export/ of a finished run: file=" + file.string()));
  if (!text) return Fail(text.error());
  const auto json = ParseJson(*text);
  if (!json || !json->is_object()) return Fail(Unreadable(file, "bytes=" + std::to_string(text->size())));

  ExportedModel model;
  const auto weights = ReadModel(*json, model.spec);
  if (!weights) return Fail(Unreadable(file, std::string(weights.error().message())));
  FERMENT_RETURN_IF_ERROR(CheckDigest(folder / weights->name, weights->digest));
  model.spec.mutable_labeling()->set_batch(batch);
  model.spec.mutable_labeling()->set_plan("fp32");
  FERMENT_ASSIGN_OR_RETURN(model.annotator, MakeTorchAnnotator(model.spec, folder / weights->name, "", device));
  if (!json->contains("temporal")) return model;

  const auto temporal = ReadTemporal((*json)["temporal"], model.spec);
  if (!temporal) return Fail(Unreadable(file, std::string(temporal.error().message())));
  const auto encoder_file = folder / temporal->weights.name;
  FERMENT_RETURN_IF_ERROR(CheckDigest(encoder_file, temporal->weights.digest));
  FERMENT_ASSIGN_OR_RETURN(model.temporal, nn::TemporalPlan::Load(encoder_file, model.spec, temporal->input_size));
  return model;
}

}  // namespace ferment::labeler
