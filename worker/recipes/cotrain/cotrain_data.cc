// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/cotrain/cotrain_data.h"

#include <algorithm>
#include <utility>

#include "common/base/logging.h"
#include "common/dataset/labels/label_folders.h"
#include "common/dataset/labels/label_index.h"
#include "worker/recipes/published_models.h"
#include "worker/recipes/read_files.h"

namespace ferment::worker {
namespace {

/// Label folders that a message names.
constexpr std::size_t kFoldersNamed = 8;

struct LabelsInUse {
  /// labels/<dataset>/<teacher>/<label config>; empty where there are no label sets.
  std::filesystem::path folder;
  dataset::LabelOrigin origin;
  dataset::LabelIndex index;
  std::vector<dataset::LabelSet> sets;
  std::uint32_t staleness = 0;
};

/// Returns: the label sets by this teacher that are this spec's; of those that labelers of several kinds wrote, the
/// most. The sets themselves are not read.
Result<LabelsInUse> LabelsBy(const std::string& teacher, const RecipeContext& context) {
  LabelsInUse most;
  const std::string dataset = dataset::DatasetName(context.spec.data().fr().path());
  for (const std::string& config : dataset::LabelConfigsOf(context.spec)) {
    const auto folder = context.layout.LabelSets(dataset, teacher, config);
    FERMENT_ASSIGN_OR_RETURN(auto index, dataset::ReadLabelIndex(folder));
    if (index.size() > most.index.size()) most = {folder, {dataset, teacher, config}, std::move(index), {}};
  }
  return most;
}

/// Returns: those of the newest teacher that has any.
Result<LabelsInUse> FindLabels(const RecipeContext& context) {
  const std::uint32_t oldest = context.round - std::min(context.round, context.spec.cotrain().max_teacher_lag());
  for (std::uint32_t round = context.round + 1; round-- > oldest;) {
    const auto models = PublishedModels::Read(context.layout, TeacherJobOf(round));
    if (!models) continue;
    FERMENT_ASSIGN_OR_RETURN(const std::string teacher, models->Digest("teacher"));
    FERMENT_ASSIGN_OR_RETURN(LabelsInUse labels, LabelsBy(teacher, context));
    if (labels.index.empty()) continue;
    labels.staleness = context.round - round;
    return labels;
  }
  return LabelsInUse();
}

bool NeedsLabels(const RunSpec& spec) {
  const auto& pseudo_label = spec.cotrain().pseudo_label();
  return pseudo_label.source() == "offline" || pseudo_label.fr_sampling() != "uniform";
}

/// Requires: FindLabels finds none. Errors: FailedPrecondition (65) where there are label sets of another spec, or of
/// another teacher.
Status CheckNoOthers(const RecipeContext& context) {
  const auto folders = dataset::FindLabelFolders(context.layout.root());
  const auto models = PublishedModels::Read(context.layout, TeacherJobOf(context.round));
  if (!folders || !models) return Status();
  FERMENT_ASSIGN_OR_RETURN(const std::string teacher, models->Digest("teacher"));
  std::string found;
  for (std::size_t i = 0; i < std::min(folders->size(), kFoldersNamed); ++i)
    found += (i == 0 ? "" : ", ") + (*folders)[i].path.string();
  std::string wanted;
  const std::string dataset = dataset::DatasetName(context.spec.data().fr().path());
  for (const std::string& config : dataset::LabelConfigsOf(context.spec))
    wanted += (wanted.empty() ? "" : " or ") + context.layout.LabelSets(dataset, teacher, config).string();
  return FailedPreconditionError(
             "no label set is of this spec and this round's teacher: found=" + found +
             " folders=" + std::to_string(folders->size()) + " wanted=" + wanted +
             "; label anew (a labeler without a coordinator goes by the spec.yaml of the run's folder), or put back "
             "what has changed since: the teacher, classes, model.{backbone,width,image_size}, data.fr.shard_records, "
             "labeling.{batch,tau,threshold,plan,device}")
      .WithExitCode(exit_code::kBadData);
}

Result<LabelsInUse> ReadLabels(const RecipeContext& context) {
  FERMENT_ASSIGN_OR_RETURN(LabelsInUse labels, FindLabels(context));
  if (labels.index.empty()) {
    if (NeedsLabels(context.spec)) FERMENT_RETURN_IF_ERROR(CheckNoOthers(context));
    return labels;
  }
  FERMENT_ASSIGN_OR_RETURN(labels.sets, dataset::ReadLabelSets(labels.folder, labels.origin));
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
  const RunSpec& spec = context.spec;
  JobInputs inputs = FaceLists(spec, dataset::FaceSplit::kTrain);
  const bool starts_anew = context.from_init || (context.round == 0 && spec.cotrain().student_init() == "model");
  if (starts_anew) inputs.merge(InitialWeights(spec));
  if (context.from_init) return inputs;
  const std::string before = TeacherJobOf(context.round);
  std::vector<ModelToRead> models = {{"teacher", before, "teacher"}};
  if (context.round > 0)
    models.insert(models.end(), {{"student", before, "student"}, {"student_raw", before, "student_raw"}});
  inputs.merge(PublishedOf(context.layout, models));
  const auto labels = FindLabels(context);
  const bool found = labels && !labels->index.empty();
  if (found) inputs["label_config"] = labels->folder.filename().string();
  // Also where label sets are gone, or are not made anew yet.
  if (found || NeedsLabels(spec)) inputs["labeling"] = dataset::LabelConfigDigest(spec, dataset::PlanInUse(spec), "");
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
  const std::string digest = labels.index.empty() ? "" : dataset::LabelIndexDigest(labels.index);
  FERMENT_ASSIGN_OR_RETURN(auto sampler, dataset::FrSampler::Create(options, keys, labels.sets, digest));
  if (context.world.rank() == 0) {
    for (const std::string& name : sampler.empty_classes())
      LogWarning("pseudo_class_without_a_face", {{"class", name}});
  }
  UnlabelledFaces faces;
  if (NeedsLabels(context.spec) && !context.from_init) faces.staleness = labels.staleness;
  faces.stream = MakeFrStream(context.spec, std::move(source), std::move(sampler));
  return faces;
}

}  // namespace ferment::worker
