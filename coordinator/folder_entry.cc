// SPDX-License-Identifier: Apache-2.0
#include "coordinator/folder_entry.h"

#include "common/config/run_layout.h"
#include "common/config/spec_differences.h"
#include "common/config/spec_loader.h"
#include "common/event/process_record.h"
#include "common/event/slurm_record.h"
#include "common/io/atomic_file.h"
#include "common/io/folder_claim.h"

namespace ferment::coordinator {
namespace {

/// Another owner's run tokens begin anew.
Status EndClaims(const std::filesystem::path& run_dir) {
  std::error_code none;
  for (const auto& job : std::filesystem::directory_iterator(RunLayout(run_dir).Job(""), none)) {
    if (job.is_directory(none)) FERMENT_RETURN_IF_ERROR(io::RemoveClaims(job.path()));
  }
  return {};
}

}  // namespace

Result<io::FolderHold> TakeRunFolder(const std::filesystem::path& run_dir, const std::string& owner) {
  auto hold = io::FolderHold::Take(run_dir, owner, [&run_dir] { return EndClaims(run_dir); });
  if (!hold) return hold;
  for (const event::ProcessRecord& record : event::ReadProcessRecords(RunLayout(run_dir).Processes())) {
    const bool others = record.job.find('@') != std::string::npos && !record.job.starts_with(owner + "/");
    if (record.role != "trainer" || !others || !record.Alive()) continue;
    return Fail(AbortedError("a trainer of another run works in this folder: path=" + run_dir.string() +
                             " job=" + record.job + " pid=" + std::to_string(record.pid) +
                             "; its coordinator is gone: start that one again, end the trainer, or choose another "
                             "folder with --run-dir")
                    .WithExitCode(exit_code::kFenced));
  }
  for (const std::string& name : event::UnfinishedSlurmStarts(run_dir)) {
    if (event::IsSlurmNameOf(name, owner, run_dir)) continue;
    return Fail(AbortedError("a Slurm job of another run may work in this folder: path=" + run_dir.string() +
                             " job=" + name + "; start its coordinator again, or end it (`scancel --name=" + name +
                             "`) and remove " + event::SlurmRecord(run_dir, name).Script().string() +
                             ", or choose another folder with --run-dir")
                    .WithExitCode(exit_code::kFenced));
  }
  return hold;
}

Status KeepRunSpec(const std::filesystem::path& file, const RunSpec& spec) {
  std::error_code unreadable;
  if (!std::filesystem::exists(file, unreadable)) return io::WriteFileAtomically(file, SpecToYaml(spec));
  FERMENT_ASSIGN_OR_RETURN(const auto differences, DifferencesFromFile(file, spec));
  if (differences.empty()) return {};
  std::string keys;
  for (const std::string& difference : differences) keys += (keys.empty() ? "" : ", ") + difference;
  return InvalidArgumentError("the run's folder was begun with another spec, which its trainers would read: path=" +
                              file.string() + " differences: " + keys +
                              "; submit the run with the spec that is there, or choose another folder with --run-dir")
      .WithExitCode(exit_code::kBadSpec);
}

}  // namespace ferment::coordinator
