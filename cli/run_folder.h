// SPDX-License-Identifier: Apache-2.0
//
// A run's folder as `ferment run` needs it: held by one process, with the spec that it was begun with.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>

#include "common/base/result.h"
#include "common/config/run_layout.h"
#include "common/config/run_spec.h"

namespace ferment::cli {

/// Holds the folder's lock from Open to destruction, or to the end of the process, however that comes.
class RunFolder {
 public:
  /// Makes the folder if need be and takes its lock. Errors: FailedPrecondition with exit code 73 (a folder with other
  /// things in it), PermissionDenied with 73 (cannot be made), Aborted with 202 (a live `ferment run` holds it).
  static Result<RunFolder> Open(const std::filesystem::path& run_dir);

  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&&) = delete;
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;
  ~RunFolder();

  const RunLayout& layout() const { return layout_; }

  /// Errors: Aborted with exit code 202 where a coordinator runs it that no killed `ferment run` has left behind.
  Status CheckNoCoordinatorRuns() const;

  /// Removes what a run writes, by name, and nothing else.
  Status DeleteRun();

 private:
  RunFolder(RunLayout layout, int lock) : layout_(std::move(layout)), lock_(lock) {}

  RunLayout layout_;
  int lock_ = -1;
};

/// Returns: whether a run was begun there: its spec.yaml is there.
bool IsBegun(const RunLayout& layout);

/// Writes spec.yaml, or compares with the one that is there. Errors: InvalidArgument with exit code 64 naming the keys
/// that differ.
Status KeepSpec(const RunLayout& layout, const RunSpec& spec);

/// Returns: the spec as it is run: where it names no data, the sets that RenderData makes are entered.
RunSpec WithRenderedData(const RunSpec& spec, const RunLayout& layout);

/// Renders the sets of a spec that names no data into the run's folder, which takes a while the first time; nothing for
/// another spec. Requires: `spec` without what WithRenderedData enters. Errors: of writing; Cancelled once `stop` is
/// requested.
Status RenderData(const RunSpec& spec, const RunLayout& layout, const std::stop_token& stop = {});

/// Looks at what is there as a run of this spec would, and writes nothing. `spec`: as RenderData's. Errors: those of
/// RunFolder::Open but for its lock, of KeepSpec unless the run would begin anew, and of CheckDataExists.
Status CheckFolderFits(const RunSpec& spec, const std::filesystem::path& run_dir, bool begins_anew = false);

/// Errors: NotFound with exit code 65 for each folder or file of the spec's data that is missing, all at once; DataLoss
/// (65) for a labeling.truth that cannot be read, with the line.
/// `stop` ends the wait for an object store.
Status CheckDataExists(const RunSpec& spec, const std::stop_token& stop = {});

}  // namespace ferment::cli
