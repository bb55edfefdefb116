// SPDX-License-Identifier: Apache-2.0
#include "labeler/replay_record.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "common/base/instruction_set.h"
#include "common/base/json_field.h"
#include "common/config/run_layout.h"
#include "common/config/spec_loader.h"
#include "common/dataset/labels/label_folders.h"
#include "common/dataset/pictures/picture_decoder.h"
#include "common/dataset/records/open_sources.h"
#include "common/io/formats/half_float.h"
#include "common/io/local_file_system.h"
#include "labeler/label_rule.h"
#include "labeler/torch_annotator.h"

namespace ferment::labeler {
namespace {

Status Missing(const std::string& text) { return NotFoundError(text).WithExitCode(exit_code::kBadData); }

/// Errors: NotFound where the phase has not ended; those of reading, naming the file.
Result<Json> ResultOf(const std::filesystem::path& phase) {
  const auto file = phase / "result.json";
  FERMENT_ASSIGN_OR_RETURN(const std::string text, io::ReadTextFile(file));
  auto result = ParseJson(text);
  if (!result) return Fail(result.error().With("file=" + file.string()));
  return result;
}

/// Returns: the file of the teacher with this digest, from the results of the run's phases.
Result<std::filesystem::path> TeacherFile(const RunLayout& layout, const std::string& digest) {
  Status unread;
  std::error_code ignored;
  for (const auto& phase : std::filesystem::directory_iterator(layout.root() / "phases", ignored)) {
    const auto result = ResultOf(phase.path());
    if (!result && result.error().code() != StatusCode::kNotFound) unread = result.error();
    if (!result) continue;
    for (const Json& model : Field(*result, "models")) {
      if (TextOr(Field(model, "sha256"), "") == digest) return layout.root() / TextOr(Field(model, "file"), "");
    }
  }
  const std::string teacher = "teacher=" + digest;
  if (!unread.ok()) {
    return Fail(unread.With("what may tell where the teacher of these label sets lies cannot be read, " + teacher));
  }
  return Fail(Missing("no phase of the run published this teacher: run=" + layout.root().string() + " " + teacher));
}

struct Again {
  LabelRow row;
  /// Empty where the record was labelled.
  std::string damage;
};

Result<Again> LabelAgain(const RunSpec& spec, const std::filesystem::path& teacher, const std::string& digest,
                         std::uint64_t key, const InferenceDevice& device) {
  const auto classes = static_cast<std::size_t>(spec.classes_size());
  FERMENT_ASSIGN_OR_RETURN(const auto source, dataset::OpenFr(spec));
  const auto index = dataset::IndexOfKey(*source, key);
  if (!index) return Fail(Missing("the data no longer have this record: key=" + std::to_string(key)));
  const auto record = source->Read(*index);
  if (!record) return Again{QuarantinedRow(classes), std::string(record.error().message())};
  const auto image = dataset::DecodePicture(record->image);
  if (!image) return Again{QuarantinedRow(classes), std::string(image.error().message())};
  FERMENT_ASSIGN_OR_RETURN(const auto annotator, MakeTorchAnnotator(spec, teacher, digest, device));
  FERMENT_ASSIGN_OR_RETURN(const Annotation annotation, annotator->Annotate({&*image, 1}));
  return Again{ApplyLabelRule({spec.labeling().tau(), spec.labeling().threshold()}, annotation.logits), ""};
}

LabelRow StoredRow(const dataset::LabelPlace& place) {
  const dataset::LabelSet& set = place.set;
  const auto first = set.probabilities_half.begin() + static_cast<std::ptrdiff_t>(place.row * set.classes.size());
  return {set.label[place.row],
          set.confidence_half[place.row],
          {first, first + static_cast<std::ptrdiff_t>(set.classes.size())},
          set.status[place.row]};
}

bool SameRow(const LabelRow& a, const LabelRow& b) {
  return a.label == b.label && a.confidence_half == b.confidence_half && a.probabilities_half == b.probabilities_half &&
         a.status == b.status;
}

Json JsonOf(const LabelRow& row, const std::vector<std::string>& classes) {
  constexpr const char* kStatus[] = {"labelled", "abstained", "quarantined"};
  Json json = {{"status", kStatus[static_cast<std::size_t>(row.status)]},
               {"label", row.label == dataset::kNoLabel ? Json() : Json(classes[row.label])},
               {"confidence", io::FloatFromHalf(row.confidence_half)},
               {"probabilities", Json::object()}};
  for (std::size_t c = 0; c < classes.size(); ++c)
    json["probabilities"][classes[c]] = io::FloatFromHalf(row.probabilities_half[c]);
  return json;
}

std::string LineOf(const Json& row) {
  std::string line = row["status"].get<std::string>();
  if (!row["label"].is_null()) line += " " + row["label"].get<std::string>() + " " + row["confidence"].dump();
  return line;
}

Result<Json> ReplayIn(const dataset::LabelFolder& folder, const dataset::LabelPlace& place,
                      const InferenceDevice& device) {
  const RunLayout layout(folder.run_dir);
  const dataset::LabelOrigin& origin = place.set.origin;
  FERMENT_ASSIGN_OR_RETURN(const RunSpec spec, LoadResolvedSpec(layout.Spec()));
  FERMENT_ASSIGN_OR_RETURN(const auto teacher, TeacherFile(layout, origin.teacher));
  FERMENT_ASSIGN_OR_RETURN(const Again again,
                           LabelAgain(spec, teacher, origin.teacher, place.set.key[place.row], device));
  const LabelRow stored = StoredRow(place);
  Json found = {{"folder", folder.path.string()},
                {"shard", place.set.shard},
                {"key", place.set.key[place.row]},
                {"teacher", teacher.string()},
                {"stored", JsonOf(stored, place.set.classes)},
                {"again", JsonOf(again.row, place.set.classes)},
                {"same", SameRow(stored, again.row)}};
  if (!again.damage.empty()) found["damage"] = again.damage;
  const std::string_view arithmetic = device.cuda ? kCudaClass : InstructionSetClass();
  if (dataset::LabelConfigDigest(spec, dataset::PlanInUse(spec), arithmetic) != origin.label_config) {
    found["note"] =
        "this machine's label config is another than the label set's (device, instruction set, version or spec): the "
        "last bits "
        "may differ";
  }
  return found;
}

}  // namespace

Result<ReplayReport> ReplayRecord(const std::filesystem::path& path, std::uint64_t key, bool json,
                                  const InferenceDevice& device) {
  FERMENT_ASSIGN_OR_RETURN(const auto folders, dataset::FindLabelFolders(path));
  Json all = Json::array();
  for (const dataset::LabelFolder& folder : folders) {
    FERMENT_ASSIGN_OR_RETURN(const auto place, dataset::FindLabel(folder, key));
    if (!place) continue;
    FERMENT_ASSIGN_OR_RETURN(Json found, ReplayIn(folder, *place, device));
    all.push_back(std::move(found));
  }
  if (all.empty())
    return Fail(Missing("no label set has this record: key=" + std::to_string(key) + " path=" + path.string()));
  ReplayReport report;
  report.same = std::all_of(all.begin(), all.end(), [](const Json& found) { return found["same"].get<bool>(); });
  if (json) {
    report.text = all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    return report;
  }
  for (const Json& found : all) {
    report.text += found["folder"].get<std::string>() + "\n  shard " + found["shard"].dump() + " key " +
                   found["key"].dump() + "\n  stored: " + LineOf(found["stored"]) +
                   "\n  again:  " + LineOf(found["again"]) + "\n  " +
                   (found["same"] ? "the same, bit for bit" : "NOT the same") + "\n";
    for (const char* more : {"damage", "note"}) {
      if (found.contains(more)) report.text += "  " + std::string(more) + ": " + found[more].get<std::string>() + "\n";
    }
  }
  return report;
}

}  // namespace ferment::labeler
