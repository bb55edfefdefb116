// SPDX-License-Identifier: Apache-2.0
#include "worker/train/job_state.h"

#include <system_error>
#include <utility>

#include "common/base/json_field.h"
#include "common/base/logging.h"
#include "common/config/spec_loader.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "common/io/local_file_system.h"
#include "common/nn/tensor_io.h"
#include "worker/train/checkpoint_folder.h"

namespace ferment::worker {
namespace {

/// Name of the small file that says whose work a job folder holds.
constexpr char kIdentityFile[] = "job.json";

/// Returns: whose work the job's folder holds, nothing where no file says so. Errors: DataLoss where that is damaged;
/// those of reading.
Result<std::optional<Json>> ReadIdentity(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kIdentityFile;
  const auto text = io::ReadTextFile(path);
  if (!text && text.error().code() == StatusCode::kNotFound) return std::optional<Json>();
  if (!text) return Fail(text.error());
  auto json = ParseJson(*text);
  if (!json) return Fail(json.error().With("job.json is damaged: path=" + path.string()));
  if (Field(*json, "digest").is_string()) return std::optional<Json>(*std::move(json));
  return Fail(DataLossError("job.json is damaged: path=" + path.string() + ": it has no digest"));
}

/// Errors: DataLoss (78) where nobody can tell whose a result in the folder is; those of reading.
Status CheckIdentity(const std::filesystem::path& folder, const std::filesystem::path& result) {
  const auto identity = ReadIdentity(folder);
  std::error_code error;
  if (identity) return Status();
  if (identity.error().code() != StatusCode::kDataLoss) return identity.error();
  if (!std::filesystem::exists(result, error)) return Status();
  return DataLossError(std::string(identity.error().message()) +
                       "; whether the result beside it is this job's, nobody can tell: remove it to have the job done "
                       "anew: result=" +
                       result.string())
      .WithExitCode(exit_code::kUnreadableState);
}

/// Errors: DataLoss where another job wrote them; former versions did not say who.
Status CheckOwner(const Json& scalars, const std::string& job_id, const std::string& digest) {
  const std::string saved_id = TextOr(Field(scalars, "job_id"), job_id);
  const std::string saved_digest = TextOr(Field(scalars, "job_digest"), digest);
  if (saved_id == job_id && saved_digest == digest) return Status();
  return DataLossError("the checkpoint is another job's: job_id=" + saved_id + " job_digest=" + saved_digest +
                       " expected=" + job_id + ", " + digest);
}

/// Errors: DataLoss where they are not those that Save writes, or of another step than the checkpoint.
Status CheckCounts(std::uint64_t step, const Json& scalars) {
  for (const char* key : {"next_step", "samples", "nonfinite"}) {
    if (!Field(scalars, key).is_number_unsigned())
      return DataLossError(std::string("the scalars lack a count: key=") + key);
  }
  if (!Field(scalars, "recipe").is_object()) return DataLossError("the scalars lack the recipe's: key=recipe");
  if (Field(scalars, "next_step") == step) return Status();
  return DataLossError("the scalars are of another step than the folder: next_step=" +
                       Field(scalars, "next_step").dump());
}

Status DamagedResult(const std::string& why) {
  return DataLossError(why + "; remove result.json to have the job done again from its last checkpoint")
      .WithExitCode(exit_code::kUnreadableState);
}

/// Errors: DataLoss (78) where the model is not there, or not as it was published; those of reading.
Status CheckPublished(const PublishedModel& model, const std::filesystem::path& root) {
  const auto digest = io::Sha256OfFile(root / model.file);
  if (!digest && digest.error().code() != StatusCode::kNotFound) return digest.error();
  if (digest && *digest == model.sha256) return Status();
  return DamagedResult(
      (digest ? "the file is not the model that was published: file=" : "the published model is lost: file=") +
      (root / model.file).string());
}

/// Errors: DataLoss (78) where anything that Write puts there is not, or a model is not as it was published.
Result<JobResult> ReadResult(const std::filesystem::path& path, const std::string& job_id,
                             const std::filesystem::path& root) {
  const auto damaged = [&](const std::string& why) {
    return Fail(DamagedResult("result.json is damaged: " + why + " file=" + path.string()));
  };
  FERMENT_ASSIGN_OR_RETURN(const std::string text, io::ReadTextFile(path));
  const auto json = ParseJson(text);
  if (!json) return damaged(std::string(json.error().message()));
  if (Field(*json, "job_id") != job_id) return damaged("it is not of job_id=" + job_id);
  if (!Field(*json, "models").is_array()) return damaged("key=models");
  if (!Field(*json, "metrics").is_object()) return damaged("key=metrics");
  if (!Field(*json, "samples").is_number_unsigned()) return damaged("key=samples");
  JobResult result;
  result.last.samples = (*json)["samples"];
  for (const auto& [name, value] : (*json)["metrics"].items()) {
    if (value.is_number()) result.last.metrics[name] = value.get<double>();
  }
  for (const Json& model : (*json)["models"]) {
    for (const char* key : {"role", "file", "sha256"}) {
      if (TextOr(Field(model, key), "").empty()) return damaged(std::string("key=") + key);
    }
    result.models.push_back({model["role"], model["file"], model["sha256"]});
    FERMENT_RETURN_IF_ERROR(CheckPublished(result.models.back(), root));
  }
  return result;
}

}  // namespace

std::string JobDigest(const RecipeContext& context) {
  RunSpec spec = context.spec;
  spec.clear_name();
  spec.clear_checkpoint();
  spec.clear_resources();
  spec.clear_labeling();
  spec.mutable_cotrain()->clear_placement();
  spec.mutable_cotrain()->clear_placement_ranks();
  spec.mutable_data()->clear_root();
  if (context.phase != "teacher" && context.phase != "finetune") spec.clear_teacher();
  if (context.phase != "cotrain") spec.clear_cotrain();
  if (context.phase != "finetune") spec.clear_finetune();
  if (context.phase != "temporal" && context.phase != "evaluate") spec.clear_temporal();
  if (context.phase != "evaluate") spec.clear_smoothing();
  return io::Sha256Hex(context.job_id() + (context.from_init ? " from init\n" : "\n") + SpecToYaml(spec));
}

JobState::JobState(const RecipeContext& context) : context_(context), digest_(JobDigest(context)) {}

std::string JobState::WhyForeign(const JobInputs& inputs) const {
  const auto identity = ReadIdentity(context_.layout.Job(context_.job_id()));
  if (!identity) return std::string(identity.error().message());
  if (!*identity) return "it has no job.json";
  if (Field(**identity, "digest") != digest_) return "it was made from another spec";
  std::string changed;
  for (const auto& [name, digest] : inputs) {
    // What was not noted down, as by former versions, counts as the same.
    if (TextOr(Field(Field(**identity, "inputs"), name), digest) == digest) continue;
    changed += (changed.empty() ? "" : ", ") + name;
  }
  return changed.empty() ? "" : "what it was made from has changed: " + changed;
}

Status JobState::TakeOver(std::uint64_t token, const JobInputs& inputs, bool start_anew) {
  const std::filesystem::path folder = context_.layout.Job(context_.job_id());
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(folder));
  FERMENT_ASSIGN_OR_RETURN(claim_, io::FolderClaim::Take(folder, token));
  FERMENT_RETURN_IF_ERROR(io::RemoveTemporariesIn(folder));
  FERMENT_RETURN_IF_ERROR(io::RemoveTemporariesIn(context_.layout.Model(context_.job_id(), "any").parent_path()));
  FERMENT_RETURN_IF_ERROR(CheckpointFolder(context_.layout.Checkpoints(context_.job_id())).RemoveHalfWritten());
  // Nothing of former trainers' appears from here on.
  if (!start_anew) FERMENT_RETURN_IF_ERROR(CheckIdentity(folder, context_.layout.Result(context_.job_id())));
  const std::string why = start_anew ? "a step is to be recorded" : WhyForeign(inputs);
  return why.empty() ? Status() : SetAside(why, inputs);
}

Status JobState::SetAside(const std::string& why, const JobInputs& inputs) const {
  FERMENT_ASSIGN_OR_RETURN(const std::filesystem::path aside, claim_->SetAside(kIdentityFile));
  if (!aside.empty())
    LogWarning("earlier_job_set_aside", {{"job", context_.job_id()}, {"folder", aside.string()}, {"why", why}});
  const Status begun = io::WriteFileAtomically(context_.layout.Job(context_.job_id()) / kIdentityFile,
                                               Json{{"digest", digest_}, {"inputs", inputs}}.dump() + "\n", MayWrite());
  return begun.ok() ? begun : claim_->UnlessTaken(begun);
}

io::Fence JobState::MayWrite() const {
  return [claim = *claim_] { return claim.Check(); };
}

Status JobState::Save(const SavedJob& job) const {
  RecipeState state = job.state;
  state.scalars = {{"job_id", context_.job_id()}, {"job_digest", digest_},      {"next_step", job.next_step},
                   {"samples", job.samples},      {"nonfinite", job.nonfinite}, {"recipe", job.state.scalars}};
  return CheckpointFolder(context_.layout.Checkpoints(context_.job_id()))
      .Save(job.next_step, state, context_.spec.checkpoint().keep(), *claim_);
}

Result<std::optional<SavedJob>> JobState::Newest() const {
  const auto check = [this](std::uint64_t step, const RecipeState& state) {
    const Status own = CheckOwner(state.scalars, context_.job_id(), digest_);
    return own.ok() ? CheckCounts(step, state.scalars) : own;
  };
  FERMENT_ASSIGN_OR_RETURN(auto state, CheckpointFolder(context_.layout.Checkpoints(context_.job_id())).Newest(check));
  if (!state) return std::optional<SavedJob>();
  SavedJob job;
  job.next_step = state->scalars["next_step"];
  job.samples = state->scalars["samples"];
  job.nonfinite = state->scalars["nonfinite"];
  job.state.scalars = state->scalars["recipe"];
  job.state.tensors = std::move(state->tensors);
  return std::optional<SavedJob>(std::move(job));
}

Result<std::optional<JobResult>> JobState::Finished(const JobInputs& inputs) const {
  const std::filesystem::path path = context_.layout.Result(context_.job_id());
  std::error_code error;
  FERMENT_RETURN_IF_ERROR(CheckIdentity(context_.layout.Job(context_.job_id()), path));
  if (!WhyForeign(inputs).empty() || !std::filesystem::exists(path, error)) return std::optional<JobResult>();
  auto result = ReadResult(path, context_.job_id(), context_.layout.root());
  if (!result) return Fail(result.error());
  // Who published it may have been killed before the folder's sync; the coordinator is told that it is there.
  FERMENT_RETURN_IF_ERROR(io::SyncFolder(path.parent_path()));
  return std::optional<JobResult>(*std::move(result));
}

Result<JobResult> JobState::Publish(const RecipeResult& result, std::uint64_t samples) const {
  auto published = Write(result, samples);
  if (!published) return Fail(claim_->UnlessTaken(published.error()));
  return published;
}

Result<JobResult> JobState::Write(const RecipeResult& result, std::uint64_t samples) const {
  const std::string job = context_.job_id();
  const io::Fence fence = MayWrite();
  Json json = {{"job_id", job}, {"phase", context_.phase}, {"round", context_.round}, {"models", Json::array()}};
  JobResult published;
  for (const NamedModel& model : result.models) {
    const std::filesystem::path path = context_.layout.Model(job, model.role);
    FERMENT_RETURN_IF_ERROR(io::CreateFolders(path.parent_path()));
    FERMENT_RETURN_IF_ERROR(nn::SaveTensors(path, model.tensors, fence));
    FERMENT_ASSIGN_OR_RETURN(const std::string digest, io::Sha256OfFile(path));
    const std::string file = path.lexically_relative(context_.layout.root()).string();
    published.models.push_back({model.role, file, digest});
    json["models"].push_back({{"role", model.role}, {"file", file}, {"sha256", digest}});
  }
  json["metrics"] = Json::object();
  for (const auto& [name, value] : result.metrics) json["metrics"][name] = value;
  json["samples"] = samples;
  if (!result.evaluation.is_null()) json["evaluation"] = result.evaluation;
  FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(context_.layout.Result(job), json.dump(1) + "\n", fence));
  return published;
}

}  // namespace ferment::worker
