// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "cli/command.h"
#include "cli/progress_bar.h"
#include "cli/remote_options.h"
#include "cli/run_description.h"
#include "common/base/json.h"
#include "common/rpc/health_question.h"
#include "common/rpc/outage_patience.h"

namespace ferment::cli {
namespace {

struct InspectFlags {
  RemoteOptions remote;
  std::string run_id;
  std::string job_id;
  std::string service;
  bool json = false;
  bool plain = false;
  bool quiet = false;
  bool follow = false;
};

void PrintRow(const v1::RunStatus& run, const InspectFlags& flags) {
  if (flags.json || flags.plain) {
    std::cout << (flags.json ? ToJsonLine(run) : PlainLine(run)) << "\n";
    return;
  }
  std::string phases;
  for (const v1::JobStatus& job : run.jobs()) {
    if (job.state() == v1::JOB_STATE_RUNNING) {
      phases += " " + job.job_id() + " " + std::to_string(job.done()) + "/" + std::to_string(job.total());
    }
  }
  const std::string priority = run.priority() == 0 ? "" : "  priority " + std::to_string(run.priority());
  std::cout << run.run_id() << "  " << StateName(run) << priority << "  " << run.name() << phases << "\n";
}

void Get(const InspectFlags& flags) {
  CoordinatorClient client = ConnectOrLeave(flags.remote);
  if (!flags.run_id.empty()) {
    const v1::RunStatus run = OrLeave(client.Get(flags.run_id));
    PrintRow(run, flags);
    if (!flags.json && !flags.plain) ProgressBar(std::cout, {}, SystemClock()).Show(run);
    return;
  }
  std::string token;
  do {
    const v1::ListRunsResponse page = OrLeave(client.List(token));
    for (const v1::RunStatus& run : page.runs()) PrintRow(run, flags);
    token = page.next_page_token();
  } while (!token.empty());
}

void Watch(const InspectFlags& flags) {
  ProgressStyle style = StyleOfTerminal(flags.json);
  if (flags.quiet) style.mode = ProgressMode::kQuiet;
  ProgressBar bar(std::cout, style, SystemClock());
  const auto last = ConnectOrLeave(flags.remote)
                        .Watch(
                            flags.run_id, [&](const v1::RunStatus& run) { bar.Show(run); }, rpc::kOutagePatience);
  bar.Finish();
  const v1::RunStatus run = OrLeave(last);
  if (!run.failure().empty()) std::cerr << "ferment: " << run.failure() << "\n";
  LeaveWith(ExitCodeOf(run));
}

void Health(const InspectFlags& flags) {
  const auto credentials = OrLeave(rpc::ResolveCredentials(flags.remote.credentials));
  const auto channel = OrLeave(rpc::OpenChannel(flags.remote.coordinator, credentials));
  const auto serving = rpc::AskWhetherServing(channel, flags.service, {});
  if (serving && *serving) {
    std::cout << "serving\n";
    return;
  }
  // One code for whatever keeps it from serving, as probes want it.
  std::cerr << "ferment: "
            << (serving ? "not serving: it drains, or another coordinator leads" : serving.error().message())
            << ": coordinator=" << flags.remote.coordinator << "\n";
  LeaveWith(exit_code::kMissingService);
}

CLI::App* AddInspection(CLI::App& app, const char* name, const char* about,
                        const std::shared_ptr<InspectFlags>& flags) {
  CLI::App* command = app.add_subcommand(name, about);
  AddRemoteOptions(*command, flags->remote);
  return command;
}

CLI::App* AddOfRun(CLI::App& app, const char* name, const char* about, const std::shared_ptr<InspectFlags>& flags) {
  CLI::App* command = AddInspection(app, name, about, flags);
  command->add_option("RUN", flags->run_id, "Id of the run")->required();
  return command;
}

void AddGetCommand(CLI::App& app, const std::shared_ptr<InspectFlags>& flags) {
  CLI::App* get = AddInspection(app, "get", "Show the runs of a coordinator, or one of them", flags);
  get->add_option("RUN", flags->run_id, "Id of the run; without it, all of them");
  CLI::Option* json = get->add_flag("--json", flags->json, "One JSON object a line");
  get->add_flag("--plain", flags->plain,
                "A line a run, tabs between: run, state, priority, name, running job, done, total, folder")
      ->excludes(json);
  get->callback([flags] { Get(*flags); });
}

}  // namespace

void AddInspectCommands(CLI::App& app) {
  auto flags = std::make_shared<InspectFlags>();
  AddGetCommand(app, flags);

  CLI::App* describe = AddOfRun(app, "describe", "Tell all about one run: jobs, figures, costs, labelers", flags);
  describe->callback([flags] { std::cout << DescribeRun(OrLeave(ConnectOrLeave(flags->remote).Get(flags->run_id))); });

  CLI::App* watch = AddOfRun(app, "watch", "Follow a run until it has ended; leaves with its exit code", flags);
  CLI::Option* json = watch->add_flag("--json", flags->json, "One JSON object a line");
  watch->add_flag("-q,--quiet", flags->quiet, "Say nothing but why it failed")->excludes(json);
  watch->callback([flags] { Watch(*flags); });

  CLI::App* wait = AddOfRun(app, "wait", "As watch, silently", flags);
  wait->callback([flags] {
    flags->quiet = true;
    Watch(*flags);
  });

  CLI::App* logs = AddOfRun(app, "logs", "Print the log of one job", flags);
  logs->add_option("JOB", flags->job_id, "Job, such as teacher or cotrain")->required();
  logs->add_flag("-f,--follow", flags->follow, "Go on until the job has ended");
  logs->callback([flags] {
    LeaveIfFailed(
        ConnectOrLeave(flags->remote).ReadLog(flags->run_id, flags->job_id, flags->follow, [](const std::string& text) {
          std::cout << text << std::flush;
        }));
  });

  CLI::App* health = AddInspection(app, "health", "Ask a coordinator whether it serves: leaves with 0, or 69", flags);
  health->add_option("--service", flags->service, "Such as ferment.v1.LeaseService; default: the server as a whole");
  health->callback([flags] { Health(*flags); });
}

}  // namespace ferment::cli
