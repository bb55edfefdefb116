// SPDX-License-Identifier: Apache-2.0
#include "cli/run_folder.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

#include "common/config/spec_differences.h"
#include "common/config/spec_loader.h"
#include "common/dataset/labels/pseudo_label_quality.h"
#include "common/dataset/records/insightface_source.h"
#include "common/dataset/synthetic/synthetic_set.h"
#include "common/event/process_record.h"
#include "common/io/atomic_file.h"
#include "common/io/folder_hold.h"
#include "common/io/local_file_system.h"
#include "common/io/object/object_url.h"

namespace ferment::cli {
namespace fs = std::filesystem;

namespace {

/// Everything that a run writes into its folder.
constexpr std::array kWritten = {"spec.yaml",   "ferment.db",  "ferment.db-wal", "ferment.db-shm", "coordinator.json",
                                 "phases.json", "report.html", "report.json",    "labels",         "features",
                                 "phases",      "export",      "submission",     "evaluation",     "tensorboard",
                                 "logs",        "processes",   "synthetic"};

Status CannotWrite(const std::string& what, const fs::path& path, const std::string& why) {
  return PermissionDeniedError("cannot " + what + ": path=" + path.string() + " error=" + why +
                               "; choose another folder with --run-dir")
      .WithExitCode(exit_code::kCannotWrite);
}

/// The lock of a coordinator or a trainer proves nothing: it stands in any folder that was once given by mistake.
bool IsRunFolderOrEmpty(const fs::path& folder) {
  std::error_code error;
  const auto is_lock = [](const fs::directory_entry& entry) { return entry.path().filename() == io::kCoordinatorLock; };
  return std::all_of(fs::directory_iterator(folder, error), fs::directory_iterator(), is_lock) ||
         fs::exists(folder / io::kCommandLock, error) || fs::exists(folder / "spec.yaml", error);
}

/// A folder that somebody keeps a spec of their own in, with labels and logs of their own, is no run's: a run's spec is
/// as this program writes it, or lies beside what else a run makes.
bool HasSpecOfItsOwn(const RunLayout& layout) {
  std::error_code error;
  const auto is_there = [&](const char* name) { return fs::exists(layout.root() / name, error); };
  if (!is_there("spec.yaml") || is_there("ferment.db") || is_there("phases.json") || is_there("processes"))
    return false;
  const auto text = io::ReadTextFile(layout.Spec());
  const auto spec = LoadResolvedSpec(layout.Spec());
  return !text || !spec || SpecToYaml(*spec) != *text;
}

/// Requires: the folder has a spec.
Status CompareSpec(const RunLayout& layout, const RunSpec& spec) {
  FERMENT_ASSIGN_OR_RETURN(const auto differences, DifferencesFromFile(layout.Spec(), spec));
  if (differences.empty()) return {};
  std::string message = "the run in " + layout.root().string() + " was begun with another spec:";
  for (const std::string& difference : differences) message += "\n  " + difference;
  return InvalidArgumentError(message +
                              "\ngive --run-dir for another folder; `ferment run --fresh` begins anew in this one")
      .WithExitCode(exit_code::kBadSpec);
}

Status NotARunFolder(const fs::path& run_dir) {
  return FailedPreconditionError("not the folder of a run, and not empty: path=" + run_dir.string() +
                                 "; choose another with --run-dir")
      .WithExitCode(exit_code::kCannotWrite);
}

/// Of a `ferment run` that was killed: EndOrphans ends it.
bool IsLeftOver(const io::FolderHolder& holder, const fs::path& run_dir) {
  if (!holder.on_this_host) return false;
  const auto records = event::ReadProcessRecords(RunLayout(run_dir).Processes());
  return std::any_of(records.begin(), records.end(), [&](const event::ProcessRecord& record) {
    return record.role == "coordinator" && record.pid == holder.pid && record.Alive();
  });
}

}  // namespace

Result<RunFolder> RunFolder::Open(const fs::path& run_dir) {
  std::error_code error;
  fs::create_directories(run_dir, error);
  if (error) return Fail(CannotWrite("make the run folder", run_dir, error.message()));
  if (!IsRunFolderOrEmpty(run_dir)) return Fail(NotARunFolder(run_dir));
  const fs::path lock_file = run_dir / io::kCommandLock;
  const int lock = open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) return Fail(CannotWrite("write into the run folder", lock_file, strerror(errno)));
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      const std::string why = strerror(errno);
      close(lock);
      return Fail(CannotWrite("lock the run folder, on a file system without locks", lock_file, why));
    }
    std::string holder;
    std::ifstream(lock_file) >> holder;
    close(lock);
    return Fail(AbortedError("a live `ferment run` has this folder: path=" + run_dir.string() + " pid=" + holder +
                             "; wait for it, end it with Ctrl-C, or choose another folder with --run-dir")
                    .WithExitCode(exit_code::kFenced));
  }
  RunFolder folder(RunLayout(run_dir), lock);
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(lock, 0) != 0 || pwrite(lock, pid.data(), pid.size(), 0) < 0) {
    return Fail(CannotWrite("write into the run folder", lock_file, strerror(errno)));
  }
  return folder;
}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : layout_(std::move(other.layout_)), lock_(std::exchange(other.lock_, -1)) {}

RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);
}

Status RunFolder::CheckNoCoordinatorRuns() const {
  const fs::path& run_dir = layout_.root();
  const auto holder = io::HolderOf(run_dir);
  if (!holder || IsLeftOver(*holder, run_dir)) return {};
  return AbortedError("a live process runs this folder: path=" + run_dir.string() + " run=" + holder->owner +
                      " host=" + holder->host + " pid=" + std::to_string(holder->pid) +
                      "; follow the run there with `ferment watch`, stop it there, or choose another folder with "
                      "--run-dir")
      .WithExitCode(exit_code::kFenced);
}

Status RunFolder::DeleteRun() {
  if (HasSpecOfItsOwn(layout_)) return NotARunFolder(layout_.root());
  for (const char* name : kWritten) {
    std::error_code error;
    fs::remove_all(layout_.root() / name, error);
    if (error) return CannotWrite("delete", layout_.root() / name, error.message());
  }
  return {};
}

bool IsBegun(const RunLayout& layout) {
  std::error_code error;
  return fs::exists(layout.Spec(), error);
}

Status KeepSpec(const RunLayout& layout, const RunSpec& spec) {
  return IsBegun(layout) ? CompareSpec(layout, spec) : io::WriteFileAtomically(layout.Spec(), SpecToYaml(spec));
}

RunSpec WithRenderedData(const RunSpec& spec, const RunLayout& layout) {
  RunSpec with_data = spec;
  if (dataset::WantsSyntheticSets(spec)) dataset::UseSyntheticSets(with_data, layout.SyntheticData());
  return with_data;
}

Status RenderData(const RunSpec& spec, const RunLayout& layout, const std::stop_token& stop) {
  if (!dataset::WantsSyntheticSets(spec)) return {};
  return dataset::RenderSyntheticSets(spec, layout.SyntheticData(), stop).With("rendering the data");
}

Status CheckFolderFits(const RunSpec& spec, const fs::path& run_dir, bool begins_anew) {
  std::error_code error;
  fs::path above = run_dir;
  while (!fs::exists(above, error) && above.has_relative_path()) above = above.parent_path();
  if (!fs::is_directory(above, error))
    return CannotWrite("make the run folder", run_dir, above.string() + " is a file");
  if (access(above.c_str(), W_OK | X_OK) != 0) return CannotWrite("write into the folder", above, strerror(errno));
  if (above == run_dir && !IsRunFolderOrEmpty(run_dir)) return NotARunFolder(run_dir);
  const RunLayout layout(run_dir);
  if (!begins_anew && IsBegun(layout)) {
    FERMENT_RETURN_IF_ERROR(CompareSpec(layout, WithRenderedData(spec, layout)));
  }
  return CheckDataExists(spec);
}

namespace {

/// Else the report would say so, hours later.
Status CheckTruth(const RunSpec& spec) {
  if (spec.labeling().truth().empty()) return {};
  const auto truth = dataset::ReadLabelTruth(spec.labeling().truth(), spec.classes_size());
  return truth ? Status() : truth.error().With("labeling.truth").WithExitCode(exit_code::kBadData);
}

}  // namespace

Status CheckDataExists(const RunSpec& spec, const std::stop_token& stop) {
  std::string missing;
  const auto check = [&missing](const std::string& key, const std::string& path) {
    std::error_code error;
    if (!path.empty() && !fs::exists(path, error)) missing += "\n  " + key + ": " + path;
  };
  for (int source = 0; source < spec.data().fer_size(); ++source) {
    check(source == 0 ? "data.fer.path" : "data.fer[" + std::to_string(source) + "].path",
          spec.data().fer(source).path());
  }
  if (spec.data().has_fr() && io::IsObjectUrl(spec.data().fr().path())) {
    FERMENT_RETURN_IF_ERROR(dataset::FindInsightfacePack(spec.data().fr().path(), stop).With("data.fr.path"));
  } else if (spec.data().has_fr()) {
    check("data.fr.path", spec.data().fr().path());
  }
  if (spec.data().has_videos()) check("data.videos.path", spec.data().videos().path());
  check("labeling.truth", spec.labeling().truth());
  if (!missing.empty()) {
    return NotFoundError("data is missing:" + missing +
                         "\nset data.root or the paths, such as --set data.root=DIR; `ferment data scan PATH` shows "
                         "what is in a folder")
        .WithExitCode(exit_code::kBadData);
  }
  return CheckTruth(spec);
}

}  // namespace ferment::cli
