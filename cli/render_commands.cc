// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "cli/command.h"
#include "common/config/launch_command.h"
#include "common/config/run_layout.h"
#include "common/config/spec_loader.h"
#include "common/event/child_process.h"

namespace ferment::cli {
namespace {

struct RenderFlags {
  std::string spec;
  std::string run_dir;
  std::vector<std::string> set;
};

void RenderPhase(const RunSpec& spec, const std::filesystem::path& run_dir, const std::string& phase,
                 std::uint32_t round) {
  TrainerLaunch launch = LaunchOnThisMachine();
  launch.trainer = event::ProgramFolder() / "ferment-trainer";
  launch.run_dir = run_dir;
  launch.phase = phase;
  launch.round = round;
  std::cout << "\n# " << JobId(phase, round) << "\n" << ToShell(MakeLaunchCommand(spec, launch)) << "\n";
}

void RenderLabeling(const RunSpec& spec, const std::filesystem::path& run_dir, const std::string& job_id) {
  std::cout << "\n# " << job_id << "\n"
            << ToShell({{(event::ProgramFolder() / "ferment-labeler").string(), "--offline", "--run-dir",
                         run_dir.string(), "--job", job_id, "--device", LabelsOnGpus(spec) ? "cuda" : "cpu"},
                        {}})
            << "\n";
}

void RenderMpirun(const RenderFlags& flags) {
  const auto overrides = ParseOverrides(flags.set);
  if (!overrides) LeaveIfFailed(overrides.error());
  const auto loaded = LoadSpec(flags.spec, *overrides);
  if (!loaded) LeaveIfFailed(loaded.error());
  const RunSpec& spec = loaded->spec;
  const auto run_dir =
      std::filesystem::absolute(flags.run_dir.empty() ? "runs/" + spec.name() : flags.run_dir).lexically_normal();
  std::cout << "# The phases of " << spec.name() << " in order, each after the one before it has ended well.\n"
            << "# They read " << RunLayout(run_dir).Spec().string()
            << ", which `ferment run` writes, and need no coordinator.\n";
  RenderPhase(spec, run_dir, "teacher", 0);
  for (std::uint32_t round = 0; round < std::max(1U, spec.cotrain().rounds()); ++round) {
    RenderLabeling(spec, run_dir, JobId("label", round));
    RenderPhase(spec, run_dir, "cotrain", round);
  }
  RenderPhase(spec, run_dir, "finetune", 0);
  if (spec.data().has_videos() || spec.data().has_synthetic()) {
    RenderLabeling(spec, run_dir, "features");
    RenderPhase(spec, run_dir, "temporal", 0);
  }
  RenderPhase(spec, run_dir, "evaluate", 0);
}

}  // namespace

void AddRenderCommands(CLI::App& app) {
  CLI::App* render = app.add_subcommand("render", "Print what would be launched");
  render->require_subcommand(1);
  auto flags = std::make_shared<RenderFlags>();
  CLI::App* mpirun = render->add_subcommand("mpirun", "The commands of each phase on this machine");
  mpirun->add_option("SPEC", flags->spec, "Spec file")->required();
  mpirun->add_option("--run-dir", flags->run_dir, "Run folder; default runs/<name>");
  mpirun->add_option("--set", flags->set, "KEY=VALUE, overrides the spec")->take_all();
  mpirun->callback([flags] { RenderMpirun(*flags); });
}

}  // namespace ferment::cli
