// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/evaluation/evaluate_recipe.h"

#include <optional>

#include "common/base/random.h"
#include "common/dataset/records/open_sources.h"
#include "common/io/atomic_file.h"
#include "common/nn/backbone.h"
#include "common/nn/tensor_io.h"
#include "worker/feed/clip_feed.h"
#include "worker/recipes/evaluation/export_writer.h"
#include "worker/recipes/evaluation/static_evaluation.h"
#include "worker/recipes/evaluation/video_evaluation.h"
#include "worker/recipes/published_models.h"
#include "worker/recipes/read_files.h"
#include "worker/recipes/temporal_stage.h"

namespace ferment::worker {
namespace {

Json CountsOf(const dataset::FaceList& list) {
  return {{"rows", list.rows}, {"faces", list.faces.size()}, {"left_out", list.dropped}};
}

class EvaluateRecipe final : public Recipe {
 public:
  explicit EvaluateRecipe(const RecipeContext& context) : context_(context), spec_(context.spec), videos_(spec_) {
    models_ = {{"teacher", "finetune", "baseline"},
               {"student_before_finetune", LastCotrain(context.layout, spec_), "student"},
               {"student", "finetune", "student"}};
    if (spec_.data().has_videos()) stages_ = TemporalStages(spec_);
  }

  JobInputs Inputs() const override {
    std::vector<ModelToRead> models = models_;
    for (const TemporalStage& stage : stages_) models.push_back({stage.Role(), "temporal", stage.Role()});
    JobInputs inputs = PublishedOf(context_.layout, models);
    for (const auto split : {dataset::FaceSplit::kTrain, dataset::FaceSplit::kValidation})
      inputs.merge(FaceLists(spec_, split));
    return inputs;
  }

  Status Prepare() override {
    FERMENT_ASSIGN_OR_RETURN(faces_, dataset::LoadFaces(spec_, dataset::FaceSplit::kValidation));
    const nn::BackboneConfig config{.name = spec_.model().backbone(),
                                    .width = static_cast<int>(spec_.model().width()),
                                    .image_size = static_cast<int>(spec_.model().image_size()),
                                    .classes = spec_.classes_size()};
    for (const ModelToRead& model : models_) {
      FERMENT_ASSIGN_OR_RETURN(const PublishedModels published, PublishedModels::Read(context_.layout, model.job_id));
      FERMENT_ASSIGN_OR_RETURN(const NamedTensors tensors, published.Load(model.role));
      auto network = nn::MakeBackbone(config, spec_.seed(), 0);
      FERMENT_RETURN_IF_ERROR(nn::LoadState(*network, tensors));
      network->to(context_.device);
      network->eval();
      if (model.name == "student") export_.student = tensors;
      networks_.push_back(network);
      static_.emplace_back(spec_, faces_.faces, *network);
    }
    export_.feature_size = networks_.back()->feature_size();
    return {};
  }

  std::uint64_t total_steps() const override { return models_.size() * static_.front().batches() + stages_.size(); }

  Result<StepFigures> Step(std::uint64_t step) override {
    const std::size_t batches = static_.front().batches();
    const std::size_t model = step / batches;
    if (model < models_.size()) {
      FERMENT_ASSIGN_OR_RETURN(const std::size_t faces, static_[model].RunBatch(step % batches, context_.world));
      return StepFigures{.samples = faces, .finite = true, .values = {}};
    }
    return EvaluateVideos(stages_[step - models_.size() * batches]);
  }

  /// Evaluation is repeated as a whole: it takes less time than saving it would.
  Result<RecipeState> State() const override { return RecipeState{}; }
  Status Restore(const RecipeState&, std::uint64_t next_step) override {
    for (std::uint64_t step = 0; step < next_step; ++step) {
      const Status made = StatusOf(Step(step));
      // Named, so that it is not taken for the checkpoint's.
      if (!made.ok()) return made.WithExitCode(ProcessExitCode(made));
    }
    return {};
  }

  Result<RecipeResult> Finish() override {
    RecipeResult result;
    result.evaluation["static"] = Json::array();
    for (std::size_t i = 0; i < models_.size(); ++i) {
      Json figures = static_[i].Figures(models_[i].name, FaceDataset());
      figures["optimistic"] = ReportsBest(spec_) && models_[i].job_id == "finetune";
      result.metrics["macro_f1_" + models_[i].name] = figures["macro_f1"];
      result.evaluation["static"].push_back(figures);
      if (models_[i].name != "student") continue;
      for (int c = 0; c < spec_.classes_size(); ++c)
        result.metrics["student_f1_" + spec_.classes(c)] = figures["per_class_f1"][static_cast<std::size_t>(c)];
    }
    result.evaluation["video"] = stages_.empty() ? Json::array() : videos_.Figures();
    result.evaluation["ablation"] = stages_.empty() ? StaticAblation(result.metrics) : videos_.Ablation();
    if (!stages_.empty()) result.metrics["temporal_flip_ratio"] = videos_.FlipRatio();
    if (context_.world.rank() != 0) return result;
    // An evaluation does without the training faces: where their list is gone by now, so are its counts.
    if (const auto train = dataset::LoadFaces(spec_, dataset::FaceSplit::kTrain))
      result.evaluation["faces"]["train"] = CountsOf(*train);
    result.evaluation["faces"]["validation"] = CountsOf(faces_);
    FERMENT_RETURN_IF_ERROR(WriteFiles(result.evaluation));
    return result;
  }

 private:
  static Status StatusOf(const Result<StepFigures>& result) { return result ? Status() : result.error(); }

  std::string FaceDataset() const {
    std::string names;
    for (const auto& source : spec_.data().fer())
      names += (names.empty() ? "" : "+") + dataset::DatasetName(source.path());
    return names;
  }

  Result<StepFigures> EvaluateVideos(const TemporalStage& stage) {
    FERMENT_ASSIGN_OR_RETURN(const PublishedModels finetune, PublishedModels::Read(context_.layout, "finetune"));
    FERMENT_ASSIGN_OR_RETURN(const PublishedModels temporal, PublishedModels::Read(context_.layout, "temporal"));
    FERMENT_ASSIGN_OR_RETURN(const std::string digest, finetune.Digest(FeatureModelRole(stage.features)));
    FERMENT_ASSIGN_OR_RETURN(const auto clips, LoadClips(spec_, context_.layout, digest));
    FERMENT_ASSIGN_OR_RETURN(const NamedTensors tensors, temporal.Load(stage.Role()));
    const auto encoder =
        nn::MakeTemporalEncoder(nn::MakeTemporalConfig(spec_, stage.encoder, export_.feature_size), spec_.seed(), 0);
    FERMENT_RETURN_IF_ERROR(nn::LoadState(*encoder, tensors));
    encoder->to(context_.device);
    videos_.Run(stage, *encoder, clips);
    if (stage.features == "student" && stage.encoder == spec_.temporal().encoder()) export_.temporal = tensors;
    std::uint64_t frames = 0;
    for (const Clip& clip : clips) frames += clip.labels.size();
    return StepFigures{.samples = frames, .finite = true, .values = {}};
  }

  /// Without videos the ablation has the two rows that faces alone can tell.
  Json StaticAblation(const std::map<std::string, double>& metrics) const {
    Json rows = Json::array();
    for (const bool semi_supervised : {false, true}) {
      Json row;
      row["semi_supervised"] = semi_supervised;
      row["temporal"] = false;
      row["smoothing"] = false;
      row["macro_f1"] = metrics.at(semi_supervised ? "macro_f1_student" : "macro_f1_teacher");
      row["optimistic"] = ReportsBest(spec_);
      rows.push_back(row);
    }
    return rows;
  }

  Status WriteFiles(const Json& evaluation) const {
    const RunLayout& layout = context_.layout;
    FERMENT_RETURN_IF_ERROR(io::CreateFolders(layout.Evaluation()));
    FERMENT_RETURN_IF_ERROR(io::CreateFolders(layout.Export()));
    FERMENT_RETURN_IF_ERROR(static_.back().WriteCsv(layout));
    if (!stages_.empty()) {
      FERMENT_RETURN_IF_ERROR(videos_.WriteCsv(layout.Evaluation() / "video_validation.csv"));
      FERMENT_RETURN_IF_ERROR(io::CreateFolders(layout.Submission()));
      FERMENT_RETURN_IF_ERROR(videos_.WriteSubmission(layout.Submission()));
    }
    return WriteExport(spec_, layout, export_, evaluation);
  }

  const RecipeContext& context_;
  const RunSpec& spec_;
  /// By their names in the report.
  std::vector<ModelToRead> models_;
  std::vector<TemporalStage> stages_;
  dataset::FaceList faces_;
  std::vector<std::shared_ptr<nn::Backbone>> networks_;
  std::vector<StaticEvaluation> static_;
  VideoEvaluation videos_;
  ExportedModels export_;
};

}  // namespace

std::unique_ptr<Recipe> MakeEvaluateRecipe(const RecipeContext& context) {
  return std::make_unique<EvaluateRecipe>(context);
}

}  // namespace ferment::worker
