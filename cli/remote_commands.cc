// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "cli/command.h"
#include "cli/remote_options.h"
#include "cli/run_description.h"
#include "cli/run_folder.h"
#include "common/base/json.h"
#include "common/config/spec_loader.h"

namespace ferment::cli {
namespace {

struct RemoteFlags {
  RemoteOptions remote;
  std::string run_id;
  std::string spec;
  std::string run_dir;
  std::vector<std::string> set;
  bool json = false;
  bool quiet = false;
  bool dry_run = false;
  int priority = 0;
  std::string reason;
};

/// Leaves the folder to the coordinator, which may be running it already. A new one gets its spec once the run is
/// taken, or a second command would not know any more that it was new.
void PrepareFolder(const RunSpec& loaded, const RunLayout& layout, v1::SubmitRunRequest& request) {
  const auto folder = OrLeave(RunFolder::Open(layout.root()));
  const RunSpec spec = WithRenderedData(loaded, layout);
  request.set_new_folder(!IsBegun(layout));
  if (!request.new_folder()) LeaveIfFailed(KeepSpec(layout, spec));
  LeaveIfFailed(RenderData(loaded, layout));
  LeaveIfFailed(CheckDataExists(spec));
  *request.mutable_spec() = spec;
}

void ShowSubmission(const RemoteFlags& flags, const RunSpec& loaded, const std::filesystem::path& run_dir) {
  RefuseJson(flags.json, "--dry-run");
  LeaveIfFailed(CheckFolderFits(loaded, run_dir));
  std::cout << "# would submit to " << flags.remote.coordinator << " at priority " << flags.priority
            << ", in the run folder " << run_dir.string() << ":\n"
            << SpecToYaml(WithRenderedData(loaded, RunLayout(run_dir)));
}

void Submit(const RemoteFlags& flags) {
  const auto loaded = OrLeave(LoadSpec(flags.spec, OrLeave(ParseOverrides(flags.set))));
  const std::string chosen = flags.run_dir.empty() ? "runs/" + loaded.spec.name() : flags.run_dir;
  const auto run_dir = std::filesystem::absolute(chosen).lexically_normal();
  if (flags.dry_run) return ShowSubmission(flags, loaded.spec, run_dir);
  v1::SubmitRunRequest request;
  request.set_priority(flags.priority);
  request.set_run_dir(run_dir.string());
  const RunLayout layout(run_dir);
  PrepareFolder(loaded.spec, layout, request);
  const std::string run_id = OrLeave(ConnectOrLeave(flags.remote).SubmitOrReopen(request));
  LeaveIfFailed(KeepSpec(layout, request.spec()).With("the run is submitted, as " + run_id));
  if (flags.json) {
    std::cout << Json{{"run_id", run_id}, {"run_dir", run_dir.string()}}.dump() << "\n";
    return;
  }
  std::cout << run_id << "\n";
  if (flags.quiet) return;
  std::cerr << "submitted; follow it with: ferment watch " << run_id << " --coordinator " << flags.remote.coordinator
            << "\n";
}

/// A run that had ended stays what it was, which is no failure: it does not go on, as was asked.
void Cancel(const RemoteFlags& flags) {
  CoordinatorClient client = ConnectOrLeave(flags.remote);
  LeaveIfFailed(client.Cancel(flags.run_id));
  const v1::RunStatus run = OrLeave(client.Get(flags.run_id));
  if (IsUnfinished(run) || run.state() == v1::RUN_STATE_CANCELLED) {
    std::cerr << "cancelled " << flags.run_id << "\n";
  } else {
    std::cerr << "nothing to cancel: " << flags.run_id << " has " << StateName(run) << "\n";
  }
}

CLI::App* AddRemote(CLI::App& app, const char* name, const char* about, const std::shared_ptr<RemoteFlags>& flags) {
  CLI::App* command = app.add_subcommand(name, about);
  AddRemoteOptions(*command, flags->remote);
  return command;
}

CLI::App* AddWithRun(CLI::App& app, const char* name, const char* about, const std::shared_ptr<RemoteFlags>& flags) {
  CLI::App* command = AddRemote(app, name, about, flags);
  command->add_option("RUN", flags->run_id, "Id of the run")->required();
  return command;
}

}  // namespace

void AddRemoteCommands(CLI::App& app) {
  auto flags = std::make_shared<RemoteFlags>();
  CLI::App* submit = AddRemote(app, "submit", "Hand a spec to a coordinator that runs by itself", flags);
  submit->add_option("SPEC", flags->spec, "Spec file")->required();
  submit->add_option("--run-dir", flags->run_dir, "Run folder on storage that all share; default runs/<name>");
  submit->add_option("--set", flags->set, "KEY=VALUE, overrides the spec")->take_all()->allow_extra_args(false);
  submit->add_option("--priority", flags->priority, "Labelers work on the run of the highest first; -100 to 100")
      ->check(CLI::Range(-100, 100));
  CLI::Option* json = submit->add_flag("--json", flags->json, "One JSON object a line");
  submit->add_flag("-q,--quiet", flags->quiet, "Print the run's id alone")->excludes(json);
  submit->add_flag("--dry-run", flags->dry_run, "Check spec, data and folder, and print what would be submitted");
  submit->callback([flags] { Submit(*flags); });

  CLI::App* cancel = AddWithRun(app, "cancel", "Stop a run; what it has finished stays", flags);
  cancel->callback([flags] { Cancel(*flags); });

  for (const bool suspended : {true, false}) {
    CLI::App* command =
        suspended ? AddWithRun(app, "suspend",
                               "Have a run start and lease nothing; its trainers save a checkpoint and leave", flags)
                  : AddWithRun(app, "resume", "Let a suspended run go on", flags);
    command->callback([flags, suspended] {
      v1::UpdateRunRequest request;
      request.set_run_id(flags->run_id);
      request.set_suspended(suspended);
      LeaveIfFailed(ConnectOrLeave(flags->remote).Update(request));
      std::cerr << (suspended ? "suspended " : "resumed ") << flags->run_id << "\n";
    });
  }

  CLI::App* prioritize = AddWithRun(app, "prioritize", "Have labelers work on a run before or after others", flags);
  prioritize->add_option("PRIORITY", flags->priority, "The highest first; -100 to 100")
      ->required()
      ->check(CLI::Range(-100, 100));
  prioritize->callback([flags] {
    v1::UpdateRunRequest request;
    request.set_run_id(flags->run_id);
    request.set_priority(flags->priority);
    LeaveIfFailed(ConnectOrLeave(flags->remote).Update(request));
    std::cerr << flags->run_id << " has priority " << flags->priority << "\n";
  });

  CLI::App* rollback =
      AddWithRun(app, "rollback", "Leave out the present teacher's labels; go on with the teacher before", flags);
  rollback->add_option("--reason", flags->reason, "For who reads the report");
  rollback->callback([flags] {
    const std::string job_id = OrLeave(ConnectOrLeave(flags->remote).RollBackTeacher(flags->run_id, flags->reason));
    std::cerr << "rolled back: the teacher of " << job_id << " of " << flags->run_id << "\n";
  });
}

}  // namespace ferment::cli
