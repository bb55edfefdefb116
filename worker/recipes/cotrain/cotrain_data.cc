// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_data.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "common/base/logging.h"
#include "common/dataset/labels/label_files.h"
#include "common/dataset/labels/label_index.h"
#include "worker/recipes/published_models.h"

namespace ferment::worker {
namespace {

struct LabelsInUse {
  /// labels/<dataset>/<teacher>/<label config>; empty where there are no label sets.
  std::filesystem::path folder;
  dataset::LabelIndex index;
  std::vector<dataset::LabelSet> sets;
  std::string digest;
  std::uint32_t staleness = 0;
};

/// Returns: the folder under labels/<dataset>/<teacher> that has an index; the first by name where labelers of several
/// kinds wrote more than one.
Result<std::optional<std::filesystem::path>> IndexedFolder(const std::filesystem::path& teacher_folder) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(teacher_folder, error)) {
    FERMENT_ASSIGN_OR_RETURN(const auto place, dataset::OpenLabelFiles(entry.path()));
    if (const auto size = place->Size("index.json")) {
      found.push_back(entry.path());
    } else if (size.error().code() != StatusCode::kNotFound) {
      return Fail(size.error());
    }
  }
  if (found.empty()) return std::optional<std::filesystem::path>();
  return std::optional(*std::min_element(found.begin(), found.end()));
}

/// Returns: where the label sets are; the sets themselves are not read.
Result<LabelsInUse> FindLabels(const RecipeContext& context) {
  const std::string dataset = dataset::DatasetName(context.spec.data().fr().path());
  const std::uint32_t oldest = context.round - std::min(context.round, context.spec.cotrain().max_teacher_lag());
  for (std::uint32_t round = context.round + 1; round-- > oldest;) {
    const auto models = PublishedModels::Read(context.layout, TeacherJobOf(round));
    if (!models) continue;
    FERMENT_ASSIGN_OR_RETURN(const std::string teacher, models->Digest("teacher"));
    FERMENT_ASSIGN_OR_RETURN(const auto folder,
                             IndexedFolder(context.layout.LabelSets(dataset, teacher, "-").parent_path()));
    if (!folder) continue;
    FERMENT_ASSIGN_OR_RETURN(const auto index, dataset::ReadLabelIndex(*folder));
    if (index.empty()) continue;
    return LabelsInUse{*folder, index, {}, dataset::LabelIndexDigest(index), context.round - round};
  }
  return LabelsInUse();
}

Result<LabelsInUse> ReadLabels(const RecipeContext& context) {
  FERMENT_ASSIGN_OR_RETURN(LabelsInUse labels, FindLabels(context));
  if (labels.index.empty()) return labels;
  FERMENT_ASSIGN_OR_RETURN(const auto first, dataset::ReadLabelSet(labels.folder, labels.index.begin()->second));
  FERMENT_ASSIGN_OR_RETURN(labels.sets, dataset::ReadLabelSets(labels.folder, first.origin));
  if (context.world.rank() == 0) {
    LogInfo("label_sets",
            {{"folder", labels.folder.string()}, {"shards", labels.index.size()}, {"teacher_lag", labels.staleness}});
  }
  return labels;
}

/// Label sets outlive a pack that is made anew with fewer records. `keys`: the pack's, ascending.
Status CheckKeys(const LabelsInUse& labels, const std::vector<std::uint64_t>& keys, const std::string& pack) {
  for (const dataset::LabelSet& set : labels.sets) {
    for (const std::uint64_t key : set.key) {
      if (std::ranges::binary_search(keys, key)) continue;
      return FailedPreconditionError(
                 "a label set has a record that data.fr.path has not: label_set=" +
                 (labels.folder / labels.index.at(set.shard).file).string() + " key=" + std::to_string(key) +
                 " path=" + pack + " records=" + std::to_string(keys.size()) +
                 "; put back the pack that was labelled, or label this one in a run folder of its own")
          .WithExitCode(exit_code::kBadData);
    }
  }
  return Status();
}

}  // namespace

std::string TeacherJobOf(std::uint32_t round) { return round == 0 ? JobId("teacher") : JobId("cotrain", round - 1); }

JobInputs CotrainInputs(const RecipeContext& context) {
  if (context.from_init) return {};
  const std::string before = TeacherJobOf(context.round);
  std::vector<ModelToRead> models = {{"teacher", before, "teacher"}};
  if (context.round > 0)
    models.insert(models.end(), {{"student", before, "student"}, {"student_raw", before, "student_raw"}});
  JobInputs inputs = PublishedOf(context.layout, models);
  const auto labels = FindLabels(context);
  if (labels && !labels->folder.empty()) inputs["label_config"] = labels->folder.filename().string();
  return inputs;
}

Result<UnlabelledFaces> OpenUnlabelledStream(const RecipeContext& context) {
  const auto& pseudo_label = context.spec.cotrain().pseudo_label();
  const bool offline = pseudo_label.source() == "offline";
  if (context.from_init && offline) {
    return Fail(InvalidArgumentError("--from-init has no label sets, so cotrain.pseudo_label.source must be online")
                    .WithExitCode(exit_code::kBadSpec));
  }
  FERMENT_ASSIGN_OR_RETURN(auto source, dataset::OpenFr(context.spec));
  std::vector<std::uint64_t> keys(source->size());
  for (std::uint64_t i = 0; i < keys.size(); ++i) keys[i] = source->KeyAt(i);
  dataset::FrSampler::Options options;
  options.seed = context.spec.seed();
  options.labels_required = offline;
  LabelsInUse labels;
  if (context.from_init) {
    options.sampling = dataset::FrSampling::kUniform;
  } else {
    FERMENT_ASSIGN_OR_RETURN(options.sampling, dataset::ParseFrSampling(pseudo_label.fr_sampling()));
    FERMENT_ASSIGN_OR_RETURN(labels, ReadLabels(context));
    FERMENT_RETURN_IF_ERROR(CheckKeys(labels, keys, context.spec.data().fr().path()));
  }
  FERMENT_ASSIGN_OR_RETURN(auto sampler, dataset::FrSampler::Create(options, keys, labels.sets, labels.digest));
  if (context.world.rank() == 0) {
    for (const std::string& name : sampler.empty_classes())
      LogWarning("pseudo_class_without_a_face", {{"class", name}});
  }
  UnlabelledFaces faces;
  if (offline || options.sampling != dataset::FrSampling::kUniform) faces.staleness = labels.staleness;
  faces.stream = MakeFrStream(context.spec, std::move(source), std::move(sampler));
  return faces;
}

}  // namespace ferment::worker
