// SPDX-License-Identifier: Apache-2.0
#include "worker/train/checkpoint_folder.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/base/logging.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "common/io/mapped_file.h"

namespace ferment::worker {
namespace {

constexpr int kFormat = 1;
constexpr char kManifest[] = "MANIFEST.json";
constexpr std::string_view kPrefix = "step-";

using Steps = std::vector<std::pair<std::uint64_t, std::filesystem::path>>;

/// Returns: the step folders, newest first.
Steps ListSteps(const std::filesystem::path& folder) {
  Steps steps;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    std::uint64_t step = 0;
    const auto [end, fault] = std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), step);
    if (fault == std::errc() && end == name.data() + name.size()) steps.emplace_back(step, entry.path());
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

bool IsWhole(const std::filesystem::path& step) {
  std::error_code error;
  return std::filesystem::exists(step / kManifest, error);
}

/// Returns: those of ListSteps whose writing came to its end.
Steps ListWhole(const std::filesystem::path& folder) {
  Steps steps = ListSteps(folder);
  std::erase_if(steps, [](const auto& step) { return !IsWhole(step.second); });
  return steps;
}

Result<RecipeState> Read(const std::filesystem::path& folder) {
  FERMENT_ASSIGN_OR_RETURN(const auto file, io::MappedFile::Open(folder / kManifest));
  const auto bytes = file.bytes();
  FERMENT_ASSIGN_OR_RETURN(const Json manifest, ParseJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  if (!manifest.is_object() || !manifest.contains("files") || !manifest["files"].is_object()) {
    return Fail(DataLossError("the manifest has no files: " + (folder / kManifest).string()));
  }
  if (manifest.value("format", 0) > kFormat) {
    return Fail(FailedPreconditionError("the checkpoint is of a newer version: path=" + folder.string())
                    .WithExitCode(exit_code::kUnreadableState));
  }
  RecipeState state;
  state.scalars = manifest.value("scalars", Json::object());
  for (const auto& [stem, digest] : manifest["files"].items()) {
    const std::filesystem::path path = folder / (stem + ".safetensors");
    FERMENT_ASSIGN_OR_RETURN(const std::string found, io::Sha256OfFile(path));
    if (found != digest) return Fail(DataLossError("another digest than the manifest says: path=" + path.string()));
    FERMENT_ASSIGN_OR_RETURN(state.tensors[stem], nn::LoadTensors(path));
  }
  return state;
}

}  // namespace

Status CheckpointFolder::Save(std::uint64_t step, const RecipeState& state, std::uint32_t keep) const {
  const std::filesystem::path folder = folder_ / (std::string(kPrefix) + std::to_string(step));
  std::error_code error;
  const Status written = Write(folder, step, state);
  if (!written.ok()) {
    std::uint64_t needed = 0;
    for (const auto& [stem, tensors] : state.tensors)
      for (const auto& [name, tensor] : tensors) needed += tensor.nbytes();
    const auto space = std::filesystem::space(folder_, error);
    std::filesystem::remove_all(folder, error);
    const Steps whole = ListWhole(folder_);
    return written.With("checkpoint not written: step=" + std::to_string(step) +
                        " kept=" + (whole.empty() ? "none" : whole.front().second.string()) +
                        " needed_bytes=" + std::to_string(needed) + " free_bytes=" + std::to_string(space.available));
  }
  const Steps whole = ListWhole(folder_);
  for (std::size_t i = keep; i < whole.size(); ++i) std::filesystem::remove_all(whole[i].second, error);
  return Status();
}

void CheckpointFolder::RemoveHalfWritten() const {
  std::error_code error;
  for (const auto& [step, path] : ListSteps(folder_)) {
    if (!IsWhole(path)) std::filesystem::remove_all(path, error);
  }
}

Status CheckpointFolder::Write(const std::filesystem::path& folder, std::uint64_t step,
                               const RecipeState& state) const {
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(folder));
  Json files = Json::object();
  for (const auto& [stem, tensors] : state.tensors) {
    const std::filesystem::path path = folder / (stem + ".safetensors");
    FERMENT_RETURN_IF_ERROR(nn::SaveTensors(path, tensors));
    FERMENT_ASSIGN_OR_RETURN(files[stem], io::Sha256OfFile(path));
  }
  FERMENT_RETURN_IF_ERROR(io::SyncFolder(folder_));
  const Json manifest = {{"format", kFormat}, {"step", step}, {"files", files}, {"scalars", state.scalars}};
  return io::WriteFileAtomically(folder / kManifest, manifest.dump(1) + "\n");
}

Result<std::optional<RecipeState>> CheckpointFolder::Newest() const {
  Status last;
  for (const auto& [step, path] : ListWhole(folder_)) {
    auto state = Read(path);
    if (state) return std::optional<RecipeState>(*std::move(state));
    if (state.error().code() == StatusCode::kFailedPrecondition) return Fail(state.error());
    LogWarning("checkpoint_passed_over", {{"path", path.string()}, {"error", state.error().ToString()}});
    last = state.error();
  }
  if (!last.ok()) {
    return Fail(DataLossError("no checkpoint can be read; remove the folder to start anew: path=" + folder_.string() +
                              ": " + std::string(last.message()))
                    .WithExitCode(exit_code::kUnreadableState));
  }
  return std::optional<RecipeState>();
}

}  // namespace ferment::worker
