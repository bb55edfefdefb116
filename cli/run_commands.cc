// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <iostream>
#include <memory>

#include "cli/command.h"
#include "cli/launch_plan.h"
#include "cli/run_session.h"
#include "common/config/spec_loader.h"
#include "common/event/event_loop.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;

struct RunFlags {
  std::string spec;
  std::string run_dir;
  std::vector<std::string> set;
  bool fresh = false;
  bool json = false;
  bool quiet = false;
  bool dry_run = false;
};

RunOptions Load(const RunFlags& flags) {
  const auto loaded = OrLeave(LoadSpec(flags.spec, OrLeave(ParseOverrides(flags.set))));
  const std::string folder = flags.run_dir.empty() ? "runs/" + loaded.spec.name() : flags.run_dir;
  return {.spec = loaded.spec,
          .run_dir = fs::absolute(folder).lexically_normal(),
          .programs = event::ProgramFolder(),
          .fresh = flags.fresh,
          .json = flags.json,
          .quiet = flags.quiet};
}

bool StartedUnderNohup() {
  struct sigaction now = {};
  return sigaction(SIGHUP, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

/// Says what a run would do, as far as it can be known beforehand.
void ShowRun(const RunFlags& flags, const RunOptions& options) {
  RefuseJson(flags.json, "--dry-run");
  LeaveIfFailed(CheckFolderFits(options.spec, options.run_dir, options.fresh));
  const RunLayout layout(options.run_dir);
  const bool begun = IsBegun(layout);
  std::cout << "# would run " << flags.spec << " in " << options.run_dir.string()
            << (!begun          ? ", a new run"
                : options.fresh ? ", after deleting the run that is there"
                                : ", going on after the phases that have ended there")
            << "\n";
  PrintPhases(std::cout, WithRenderedData(options.spec, layout), options.run_dir);
}

void Run(const RunFlags& flags) {
  const RunOptions options = Load(flags);
  if (flags.dry_run) return ShowRun(flags, options);
  Interruptions interruptions;
  event::IgnoreBrokenPipes();
  event::EventLoop loop;
  loop.OnSignals({SIGINT, SIGTERM, SIGUSR2}, [&interruptions](int number) { interruptions.Take(number); });
  if (!StartedUnderNohup()) loop.OnSignals({SIGHUP}, [&interruptions](int number) { interruptions.Take(number); });
  // For trainers; whoever sends it here must not leave their processes behind without one in charge.
  loop.OnSignals({SIGUSR1}, [](int) {});
  const int code = RunToTheEnd(options, interruptions);
  loop.Stop();
  LeaveWith(code);
}

/// Returns: examples/demo.yaml of the working folder, of the source tree that was built, or of an installation.
fs::path FindDemoSpec() {
  const fs::path programs = event::ProgramFolder();
  for (const fs::path& folder :
       {fs::path("examples"), programs / "../../../examples", programs / "../share/ferment/examples"}) {
    std::error_code error;
    if (fs::exists(folder / "demo.yaml", error)) return (folder / "demo.yaml").lexically_normal();
  }
  LeaveIfFailed(NotFoundError("examples/demo.yaml is not beside the programs: programs=" + programs.string() +
                              "; run it from the source folder")
                    .WithExitCode(exit_code::kBadSpec));
  return {};
}

void AddRunFlags(CLI::App& command, RunFlags& flags) {
  command.add_option("--run-dir", flags.run_dir, "Run folder; default runs/<name>");
  command.add_option("--set", flags.set, "KEY=VALUE, overrides the spec; may be given again")
      ->take_all()
      ->allow_extra_args(false);
  command.add_flag("--fresh", flags.fresh, "Delete what an earlier run wrote into the folder, and begin anew");
  CLI::Option* json = command.add_flag("--json", flags.json, "One JSON object a line");
  command.add_flag("-q,--quiet", flags.quiet, "Say nothing but what went wrong")->excludes(json);
  command.add_flag("--dry-run", flags.dry_run,
                   "Check spec, data and folder, and print the phases' commands as one types them by hand");
}

}  // namespace

void AddRunCommands(CLI::App& app) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* run =
      app.add_subcommand("run", "Run every phase of a spec on this machine, or go on with an interrupted run");
  run->add_option("SPEC", flags->spec, "Spec file")->required();
  AddRunFlags(*run, *flags);
  run->callback([flags] { Run(*flags); });

  auto demo_flags = std::make_shared<RunFlags>();
  CLI::App* demo = app.add_subcommand("demo", "Run the whole method on rendered faces: a few minutes on two cores");
  AddRunFlags(*demo, *demo_flags);
  demo->callback([demo_flags] {
    demo_flags->spec = FindDemoSpec().string();
    Run(*demo_flags);
  });
}

}  // namespace ferment::cli
