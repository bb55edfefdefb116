// SPDX-License-Identifier: Apache-2.0
#include "worker/recipes/published_models.h"

#include <algorithm>

#include "common/base/json_field.h"
#include "common/io/checksum.h"
#include "common/io/local_file_system.h"
#include "common/nn/tensor_io.h"

namespace ferment::worker {

std::string LastCotrain(const RunLayout& layout, const RunSpec& spec) {
  const std::uint32_t last = std::max(spec.cotrain().rounds(), 1U) - 1;
  for (std::uint32_t round = last + 1; round-- > 0;) {
    std::error_code unreadable;
    const std::string job = JobId("cotrain", round);
    if (std::filesystem::exists(layout.Result(job), unreadable)) return job;
  }
  return JobId("cotrain", last);
}

JobInputs PublishedOf(const RunLayout& layout, const std::vector<ModelToRead>& models) {
  JobInputs digests;
  for (const ModelToRead& model : models) {
    const auto published = PublishedModels::Read(layout, model.job_id);
    if (!published) continue;
    if (const auto digest = published->Digest(model.role)) digests[model.name] = *digest;
  }
  return digests;
}

Result<PublishedModels> PublishedModels::Read(const RunLayout& layout, std::string_view job_id) {
  const auto path = layout.Result(job_id);
  const auto file = io::ReadTextFile(path);
  if (!file && file.error().code() != StatusCode::kNotFound) return Fail(file.error());
  if (!file)
    return Fail(NotFoundError("the job has not published anything yet, run it first: job=" + std::string(job_id) +
                              " file=" + path.string()));
  const auto damaged = [&](std::string_view why) {
    return Fail(DataLossError("result.json is damaged, remove it and have the job done again: job=" +
                              std::string(job_id) + " file=" + path.string() + ": " + std::string(why))
                    .WithExitCode(exit_code::kUnreadableState));
  };
  const auto json = ParseJson(*file);
  if (!json) return damaged(json.error().message());
  if (!Field(*json, "models").is_array()) return damaged("it has no list of models");
  PublishedModels models;
  models.job_id_ = job_id;
  for (const Json& model : (*json)["models"]) {
    const std::string role = TextOr(Field(model, "role"), "");
    const std::string name = TextOr(Field(model, "file"), "");
    const std::string digest = TextOr(Field(model, "sha256"), "");
    if (role.empty() || name.empty() || digest.empty()) return damaged("a model lacks its role, file or sha256");
    models.entries_[role] = {layout.root() / name, digest};
  }
  return models;
}

Result<PublishedModels::Entry> PublishedModels::Find(std::string_view role) const {
  const auto found = entries_.find(role);
  if (found == entries_.end())
    return Fail(NotFoundError("the job published no such model: job=" + job_id_ + " role=" + std::string(role)));
  return found->second;
}

Result<std::string> PublishedModels::Digest(std::string_view role) const {
  FERMENT_ASSIGN_OR_RETURN(const Entry entry, Find(role));
  return entry.sha256;
}

Result<NamedTensors> PublishedModels::Load(std::string_view role) const {
  FERMENT_ASSIGN_OR_RETURN(const Entry entry, Find(role));
  FERMENT_ASSIGN_OR_RETURN(const std::string digest, io::Sha256OfFile(entry.file));
  if (digest != entry.sha256)
    return Fail(DataLossError("the file is not the model that was published: file=" + entry.file.string() +
                              " sha256=" + digest + " expected=" + entry.sha256)
                    .WithExitCode(exit_code::kUnreadableState));
  return nn::LoadTensors(entry.file);
}

}  // namespace ferment::worker
