// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "cli/command.h"
#include "cli/coordinator_client.h"
#include "cli/credential_options.h"
#include "cli/progress_bar.h"
#include "cli/run_folder.h"
#include "common/base/json.h"
#include "common/config/spec_loader.h"

namespace ferment::cli {
namespace {

struct RemoteFlags {
  std::string coordinator;
  rpc::CredentialFlags credentials;
  std::string run_id;
  std::string job_id;
  std::string spec;
  std::string run_dir;
  std::vector<std::string> set;
  bool json = false;
  bool follow = false;
  int priority = 0;
  std::string reason;
};

CoordinatorClient ClientOf(const RemoteFlags& flags) {
  const auto credentials = OrLeave(rpc::ResolveCredentials(flags.credentials));
  return OrLeave(CoordinatorClient::Connect(flags.coordinator, credentials, std::chrono::seconds(5)));
}

std::string StateName(v1::RunState state) {
  std::string name = v1::RunState_Name(state).substr(std::string("RUN_STATE_").size());
  for (char& letter : name) letter = static_cast<char>(std::tolower(letter));
  return name;
}

/// Leaves the folder to the coordinator, which may be running it already. Returns: the spec as it is run.
RunSpec PrepareFolder(const RunSpec& loaded, const std::filesystem::path& run_dir) {
  auto folder = OrLeave(RunFolder::Open(run_dir));
  RunSpec spec = WithRenderedData(loaded, folder.layout());
  LeaveIfFailed(folder.KeepSpec(spec));
  LeaveIfFailed(RenderData(loaded, folder.layout()));
  LeaveIfFailed(CheckDataExists(spec));
  return spec;
}

void Submit(const RemoteFlags& flags) {
  const auto loaded = OrLeave(LoadSpec(flags.spec, OrLeave(ParseOverrides(flags.set))));
  const std::string chosen = flags.run_dir.empty() ? "runs/" + loaded.spec.name() : flags.run_dir;
  const auto run_dir = std::filesystem::absolute(chosen).lexically_normal();
  v1::SubmitRunRequest request;
  request.set_priority(flags.priority);
  request.set_run_dir(run_dir.string());
  *request.mutable_spec() = PrepareFolder(loaded.spec, run_dir);
  const std::string run_id = OrLeave(ClientOf(flags).SubmitOrReopen(std::move(request)));
  if (flags.json) {
    std::cout << Json{{"run_id", run_id}, {"run_dir", run_dir.string()}}.dump() << "\n";
    return;
  }
  std::cout << run_id << "\n";
  std::cerr << "submitted; follow it with: ferment watch " << run_id << " --coordinator " << flags.coordinator << "\n";
}

void PrintRow(const v1::RunStatus& run) {
  std::string phases;
  for (const v1::JobStatus& job : run.jobs()) {
    if (job.state() == v1::JOB_STATE_RUNNING) {
      phases += " " + job.job_id() + " " + std::to_string(job.done()) + "/" + std::to_string(job.total());
    }
  }
  const std::string state = run.suspended() ? "suspended" : StateName(run.state());
  const std::string priority = run.priority() == 0 ? "" : "  priority " + std::to_string(run.priority());
  std::cout << run.run_id() << "  " << state << priority << "  " << run.name() << phases << "\n";
}

void Get(const RemoteFlags& flags) {
  CoordinatorClient client = ClientOf(flags);
  if (!flags.run_id.empty()) {
    const v1::RunStatus run = OrLeave(client.Get(flags.run_id));
    if (flags.json) {
      std::cout << ToJsonLine(run) << "\n";
      return;
    }
    PrintRow(run);
    ProgressBar(std::cout, {}, SystemClock()).Show(run);
    return;
  }
  std::string token;
  do {
    const v1::ListRunsResponse page = OrLeave(client.List(token));
    for (const v1::RunStatus& run : page.runs()) {
      if (flags.json) {
        std::cout << ToJsonLine(run) << "\n";
      } else {
        PrintRow(run);
      }
    }
    token = page.next_page_token();
  } while (!token.empty());
}

void Watch(const RemoteFlags& flags, bool show) {
  ProgressBar bar(std::cout, StyleOfTerminal(flags.json), SystemClock());
  const auto last = ClientOf(flags).Watch(flags.run_id, [&](const v1::RunStatus& run) {
    if (show) bar.Show(run);
  });
  bar.Finish();
  const v1::RunStatus run = OrLeave(last);
  if (!run.failure().empty()) std::cerr << "ferment: " << run.failure() << "\n";
  LeaveWith(ExitCodeOf(run));
}

/// A run that had ended stays what it was, which is no failure: it does not go on, as was asked.
void Cancel(const RemoteFlags& flags) {
  CoordinatorClient client = ClientOf(flags);
  LeaveIfFailed(client.Cancel(flags.run_id));
  const v1::RunStatus run = OrLeave(client.Get(flags.run_id));
  if (IsUnfinished(run) || run.state() == v1::RUN_STATE_CANCELLED) {
    std::cerr << "cancelled " << flags.run_id << "\n";
  } else {
    std::cerr << "nothing to cancel: " << flags.run_id << " has " << StateName(run.state()) << "\n";
  }
}

CLI::App* AddRemote(CLI::App& app, const char* name, const char* about, const std::shared_ptr<RemoteFlags>& flags) {
  CLI::App* command = app.add_subcommand(name, about);
  command->add_option("--coordinator", flags->coordinator, "HOST:PORT")->envname("FERMENT_COORDINATOR")->required();
  AddCredentialOptions(*command, flags->credentials);
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
  submit->add_flag("--json", flags->json, "One JSON object a line");
  submit->callback([flags] { Submit(*flags); });

  CLI::App* get = AddRemote(app, "get", "Show the runs of a coordinator, or one of them", flags);
  get->add_option("RUN", flags->run_id, "Id of the run; without it, all of them");
  get->add_flag("--json", flags->json, "One JSON object a line");
  get->callback([flags] { Get(*flags); });

  CLI::App* watch = AddWithRun(app, "watch", "Follow a run until it has ended; leaves with its exit code", flags);
  watch->add_flag("--json", flags->json, "One JSON object a line");
  watch->callback([flags] { Watch(*flags, true); });

  CLI::App* wait = AddWithRun(app, "wait", "As watch, silently", flags);
  wait->callback([flags] { Watch(*flags, false); });

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
      LeaveIfFailed(ClientOf(*flags).Update(request));
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
    LeaveIfFailed(ClientOf(*flags).Update(request));
    std::cerr << flags->run_id << " has priority " << flags->priority << "\n";
  });

  CLI::App* rollback =
      AddWithRun(app, "rollback", "Leave out the present teacher's labels; go on with the teacher before", flags);
  rollback->add_option("--reason", flags->reason, "For who reads the report");
  rollback->callback([flags] {
    const std::string job_id = OrLeave(ClientOf(*flags).RollBackTeacher(flags->run_id, flags->reason));
    std::cerr << "rolled back: the teacher of " << job_id << " of " << flags->run_id << "\n";
  });

  CLI::App* logs = AddWithRun(app, "logs", "Print the log of one job", flags);
  logs->add_option("JOB", flags->job_id, "Job, such as teacher or cotrain")->required();
  logs->add_flag("-f,--follow", flags->follow, "Go on until the job has ended");
  logs->callback([flags] {
    LeaveIfFailed(ClientOf(*flags).ReadLog(flags->run_id, flags->job_id, flags->follow,
                                           [](const std::string& text) { std::cout << text << std::flush; }));
  });
}

}  // namespace ferment::cli
