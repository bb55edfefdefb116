// SPDX-License-Identifier: Apache-2.0
#include "worker/train/checkpoint_folder.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/base/json_field.h"
#include "common/base/logging.h"
#include "common/base/unique_name.h"
#include "common/io/atomic_file.h"
#include "common/io/checksum.h"
#include "common/io/errno_status.h"
#include "common/io/mapped_file.h"

namespace ferment::worker {
namespace {

constexpr int kFormat = 1;
constexpr char kManifest[] = "MANIFEST.json";
constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kHalfWritten = ".half-written";

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

/// Where a step's checkpoint is while this process writes it: what has such a name is none to those who read.
std::filesystem::path HalfWritten(const std::filesystem::path& folder, std::uint64_t step) {
  static const std::string process = NewUniqueName();
  return folder / (std::string(kPrefix) + std::to_string(step) + "." + process + std::string(kHalfWritten));
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
  if (NumberOr(Field(manifest, "format"), 0) > kFormat) {
    return Fail(FailedPreconditionError("the checkpoint is of a newer version: path=" + folder.string())
                    .WithExitCode(exit_code::kUnreadableState));
  }
  RecipeState state;
  state.scalars = Field(manifest, "scalars");
  if (!state.scalars.is_object()) {
    return Fail(DataLossError("the manifest has no scalars: " + (folder / kManifest).string()));
  }
  for (const auto& [stem, digest] : manifest["files"].items()) {
    const std::filesystem::path path = folder / (stem + ".safetensors");
    FERMENT_ASSIGN_OR_RETURN(const std::string found, io::Sha256OfFile(path));
    if (found != digest) return Fail(DataLossError("another digest than the manifest says: path=" + path.string()));
    FERMENT_ASSIGN_OR_RETURN(state.tensors[stem], nn::LoadTensors(path));
  }
  return state;
}

}  // namespace

Status CheckpointFolder::Save(std::uint64_t step, const RecipeState& state, std::uint32_t keep,
                              const io::FolderClaim& claim) const {
  std::error_code error;
  const Status written = Write(step, state, claim);
  if (!written.ok()) {
    std::uint64_t needed = 0;
    for (const auto& [stem, tensors] : state.tensors)
      for (const auto& [name, tensor] : tensors) needed += tensor.nbytes();
    const auto space = std::filesystem::space(folder_, error);
    std::filesystem::remove_all(HalfWritten(folder_, step), error);
    const Steps whole = ListWhole(folder_);
    return claim.UnlessTaken(written.With("checkpoint not written: step=" + std::to_string(step) +
                                          " kept=" + (whole.empty() ? "none" : whole.front().second.string()) +
                                          " needed_bytes=" + std::to_string(needed) +
                                          " free_bytes=" + std::to_string(space.available)));
  }
  const Steps whole = ListWhole(folder_);
  for (std::size_t i = keep; i < whole.size(); ++i) std::filesystem::remove_all(whole[i].second, error);
  return Status();
}

Status CheckpointFolder::RemoveHalfWritten() const {
  std::vector<std::filesystem::path> remains;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder_, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().string().ends_with(kHalfWritten)) remains.push_back(entry->path());
  }
  // Those of versions that wrote under the name itself.
  for (const auto& [step, path] : ListSteps(folder_)) {
    if (!IsWhole(path)) remains.push_back(path);
  }
  if (error == std::errc::no_such_file_or_directory) return Status();
  for (const auto& path : remains) {
    if (!error) std::filesystem::remove_all(path, error);
  }
  return error ? io::WriteErrno(error.value(), "cannot remove half-written checkpoints in", folder_) : Status();
}

Status CheckpointFolder::Write(std::uint64_t step, const RecipeState& state, const io::FolderClaim& claim) const {
  const std::filesystem::path half = HalfWritten(folder_, step);
  const std::filesystem::path whole = folder_ / (std::string(kPrefix) + std::to_string(step));
  std::error_code error;
  std::filesystem::remove_all(half, error);
  FERMENT_RETURN_IF_ERROR(io::CreateFolders(half));
  Json files = Json::object();
  for (const auto& [stem, tensors] : state.tensors) {
    const std::filesystem::path path = half / (stem + ".safetensors");
    FERMENT_RETURN_IF_ERROR(nn::SaveTensors(path, tensors));
    FERMENT_ASSIGN_OR_RETURN(files[stem], io::Sha256OfFile(path));
  }
  const Json manifest = {{"format", kFormat}, {"step", step}, {"files", files}, {"scalars", state.scalars}};
  FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(half / kManifest, manifest.dump(1) + "\n"));
  FERMENT_RETURN_IF_ERROR(claim.Check());
  std::filesystem::rename(half, whole, error);
  if (error == std::errc::directory_not_empty || error == std::errc::file_exists) {
    // One that was passed over as damaged. Not removed beforehand: it may be a later trainer's, which has removed
    // `half`.
    std::filesystem::remove_all(whole, error);
    std::filesystem::rename(half, whole, error);
  }
  if (error) return io::WriteErrno(error.value(), "cannot rename to", whole);
  return io::SyncFolder(folder_);
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
