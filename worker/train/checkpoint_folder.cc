// SPDX-License-Identifier: Apache-2.0
#include "worker/train/checkpoint_folder.h"

#include <algorithm>
#include <array>
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
#include "common/io/local_file_system.h"

namespace ferment::worker {
namespace {

constexpr int kFormat = 1;
constexpr char kManifest[] = "MANIFEST.json";
/// What goes before the manifest's own digest.
constexpr std::string_view kSeal = " \"sha256\": \"";
/// All that manifests without a digest had.
constexpr std::array<std::string_view, 4> kFormerKeys = {"format", "step", "files", "scalars"};
/// In a checkpoint that was passed over: why it was.
constexpr char kPassedOver[] = "PASSED_OVER.txt";
constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kHalfWritten = ".half-written";
constexpr std::string_view kDamaged = ".damaged";

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

bool IsPassedOver(const std::filesystem::path& step) {
  std::error_code error;
  return std::filesystem::exists(step / kPassedOver, error);
}

/// Returns: those of ListWhole that nobody has passed over.
Steps ListGood(const std::filesystem::path& folder) {
  Steps steps = ListWhole(folder);
  std::erase_if(steps, [](const auto& step) { return IsPassedOver(step.second); });
  return steps;
}

/// Keeps a damaged checkpoint for whoever wants to know what happened to it: one, under a name that nobody reads. What
/// fails leaves it where it is, where it does not count either.
void SetAside(const std::filesystem::path& step) {
  std::vector<std::filesystem::path> earlier;
  std::error_code error;
  std::filesystem::directory_iterator entry(step.parent_path(), error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().string().ends_with(kDamaged)) earlier.push_back(entry->path());
  }
  for (const auto& path : earlier) std::filesystem::remove_all(path, error);
  const std::filesystem::path aside = step.string() + std::string(kDamaged);
  std::filesystem::rename(step, aside, error);
  if (!error) LogWarning("damaged_checkpoint_set_aside", {{"path", aside.string()}});
}

/// Also where an earlier life that is still ending moves or removes some of it meanwhile.
std::error_code RemoveAll(const std::filesystem::path& path) {
  const auto gone = std::errc::no_such_file_or_directory;
  std::error_code error, unseen;
  do std::filesystem::remove_all(path, error);
  while (error == gone && std::filesystem::exists(path, unseen));
  return error == gone ? std::error_code() : error;
}

/// Returns: the end of a manifest of which this is what goes before.
std::string SealOf(std::string_view before) { return std::string(kSeal) + io::Sha256Hex(before) + "\"\n}\n"; }

/// Returns: the manifest's text, whose last line but one is the digest of all before it.
std::string Sealed(const Json& manifest) {
  std::string text = manifest.dump(1);
  text.replace(text.rfind("\n}"), 2, ",\n");
  return text + SealOf(text);
}

/// Errors: DataLoss where anything in it is not what was written; FailedPrecondition (78) where it is of a later
/// format.
Result<Json> ReadManifest(const std::filesystem::path& path) {
  FERMENT_ASSIGN_OR_RETURN(const std::string text, io::ReadTextFile(path));
  FERMENT_ASSIGN_OR_RETURN(Json manifest, ParseJson(text));
  if (manifest.contains("sha256")) {
    const std::size_t seal = text.rfind(kSeal);
    if (seal == std::string::npos || text.substr(seal) != SealOf(text.substr(0, seal)))
      return Fail(DataLossError("the manifest has another digest than it says"));
  }
  if (NumberOr(Field(manifest, "format"), 0) > kFormat)
    return Fail(
        FailedPreconditionError("the checkpoint is of a newer version").WithExitCode(exit_code::kUnreadableState));
  if (!Field(manifest, "files").is_object()) return Fail(DataLossError("the manifest has no files"));
  if (!Field(manifest, "scalars").is_object()) return Fail(DataLossError("the manifest has no scalars"));
  for (const auto& [key, value] : manifest.items()) {
    if (manifest.contains("sha256") || std::ranges::count(kFormerKeys, key) > 0) continue;
    return Fail(DataLossError("the manifest has no digest, and is of no former version: key=" + key));
  }
  return manifest;
}

Result<RecipeState> Read(std::uint64_t step, const std::filesystem::path& folder,
                         const CheckpointFolder::Check& check) {
  const std::filesystem::path path = folder / kManifest;
  const auto manifest = ReadManifest(path);
  if (!manifest) return Fail(manifest.error().With(path.string()));
  if (Field(*manifest, "step") != step) {
    return Fail(DataLossError("the manifest is of another step than its folder: step=" +
                              Field(*manifest, "step").dump() + " path=" + path.string()));
  }
  RecipeState state;
  state.scalars = Field(*manifest, "scalars");
  for (const auto& [stem, digest] : Field(*manifest, "files").items()) {
    const std::filesystem::path file = folder / (stem + ".safetensors");
    FERMENT_ASSIGN_OR_RETURN(const std::string found, io::Sha256OfFile(file));
    if (found != digest) return Fail(DataLossError("another digest than the manifest says: path=" + file.string()));
    FERMENT_ASSIGN_OR_RETURN(state.tensors[stem], nn::LoadTensors(file));
  }
  if (check) {
    const Status checked = check(step, state);
    if (!checked.ok()) return Fail(checked.With(path.string()));
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
    const Steps good = ListGood(folder_);
    return claim.UnlessTaken(written.With("checkpoint not written: step=" + std::to_string(step) +
                                          " kept=" + (good.empty() ? "none" : good.front().second.string()) +
                                          " needed_bytes=" + std::to_string(needed) +
                                          " free_bytes=" + std::to_string(space.available)));
  }
  RemoveOld(step, keep);
  return Status();
}

void CheckpointFolder::RemoveOld(std::uint64_t written, std::uint32_t keep) const {
  Steps others = ListWhole(folder_);
  std::erase_if(others, [&](const auto& step) { return step.first == written; });
  std::error_code error;
  std::uint32_t kept = 1;
  std::optional<std::filesystem::path> damaged;
  for (const auto& [step, path] : others) {
    if (!IsPassedOver(path)) {
      if (++kept > keep) std::filesystem::remove_all(path, error);
    } else if (damaged) {
      std::filesystem::remove_all(path, error);
    } else {
      damaged = path;
    }
  }
  if (damaged) SetAside(*damaged);
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
    if (!error) error = RemoveAll(path);
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
  FERMENT_RETURN_IF_ERROR(io::WriteFileAtomically(half / kManifest, Sealed(manifest)));
  FERMENT_RETURN_IF_ERROR(claim.Check());
  std::filesystem::rename(half, whole, error);
  if (error == std::errc::directory_not_empty || error == std::errc::file_exists) {
    // This step's of an earlier life. Not put away beforehand: it may be a later trainer's, which has removed `half`.
    if (IsPassedOver(whole)) {
      SetAside(whole);
    } else {
      std::filesystem::remove_all(whole, error);
    }
    std::filesystem::rename(half, whole, error);
  }
  if (error) return io::WriteErrno(error.value(), "cannot rename to", whole);
  return io::SyncFolder(folder_);
}

Result<std::optional<RecipeState>> CheckpointFolder::Newest(const Check& check) const {
  std::vector<std::pair<std::filesystem::path, Status>> passed_over;
  for (const auto& [step, path] : ListWhole(folder_)) {
    auto state = Read(step, path, check);
    if (state) {
      // Only now: where none is left nothing is set aside. A mark that cannot be written is made by the next reader.
      for (const auto& [damaged, why] : passed_over)
        (void)io::WriteFileAtomically(damaged / kPassedOver, why.ToString() + "\n");
      return std::optional<RecipeState>(*std::move(state));
    }
    if (state.error().code() == StatusCode::kFailedPrecondition) return Fail(state.error());
    LogWarning("checkpoint_passed_over", {{"path", path.string()}, {"error", state.error().ToString()}});
    passed_over.emplace_back(path, state.error());
  }
  if (!passed_over.empty()) {
    return Fail(DataLossError("no checkpoint can be read; remove the folder to start anew: path=" + folder_.string() +
                              ": " + std::string(passed_over.back().second.message()))
                    .WithExitCode(exit_code::kUnreadableState));
  }
  return std::optional<RecipeState>();
}

Status CheckpointFolder::GoOnFrom(std::uint64_t step, std::uint64_t total_steps,
                                  const std::function<Status()>& restore) const {
  const Status status =
      step > total_steps ? DataLossError("the job has fewer steps: of=" + std::to_string(total_steps)) : restore();
  const bool unfit = status.code() == StatusCode::kDataLoss || status.code() == StatusCode::kInvalidArgument;
  if (!unfit || (status.exit_code() != 0 && status.exit_code() != exit_code::kUnreadableState)) return status;
  const std::filesystem::path path = folder_ / (std::string(kPrefix) + std::to_string(step));
  return DataLossError("the job cannot go on from its checkpoint; remove it to go on from the one before: path=" +
                       path.string() + ": " + std::string(status.message()))
      .WithExitCode(exit_code::kUnreadableState);
}

}  // namespace ferment::worker
