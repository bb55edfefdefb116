// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "cli/command.h"
#include "cli/launch_plan.h"
#include "common/base/whole_number.h"
#include "common/config/run_layout.h"
#include "common/config/spec_loader.h"

namespace ferment::cli {
namespace {

struct RenderFlags {
  std::string spec;
  std::string run_dir;
  std::vector<std::string> set;
  std::string phase = "teacher";
  std::uint32_t round = 0;
};

std::filesystem::path RunDirOf(const RenderFlags& flags, const RunSpec& spec) {
  return std::filesystem::absolute(flags.run_dir.empty() ? "runs/" + spec.name() : flags.run_dir).lexically_normal();
}

void RenderMpirun(const RenderFlags& flags) {
  const RunSpec spec = OrLeave(LoadSpec(flags.spec, OrLeave(ParseOverrides(flags.set)))).spec;
  const auto run_dir = RunDirOf(flags, spec);
  std::cout << "# The phases of " << spec.name() << " in order, each after the one before it has ended well.\n"
            << "# They read " << RunLayout(run_dir).Spec().string()
            << ", which `ferment run` writes, and need no coordinator.\n";
  PrintPhases(std::cout, spec, run_dir);
}

void RenderSlurm(const RenderFlags& flags) {
  std::vector<std::string> set = flags.set;
  set.push_back("resources.launcher=slurm");
  const RunSpec spec = OrLeave(LoadSpec(flags.spec, OrLeave(ParseOverrides(set)))).spec;
  PrintSlurmPhase(std::cout, spec, RunDirOf(flags, spec), flags.phase, flags.round);
}

void AddCommonOptions(CLI::App& command, RenderFlags& flags) {
  command.add_option("SPEC", flags.spec, "Spec file")->required();
  command.add_option("--run-dir", flags.run_dir, "Run folder; default runs/<name>");
  command.add_option("--set", flags.set, "KEY=VALUE, overrides the spec")->take_all();
}

}  // namespace

void AddRenderCommands(CLI::App& app) {
  CLI::App* render = app.add_subcommand("render", "Print what would be launched");
  render->require_subcommand(1);
  auto flags = std::make_shared<RenderFlags>();
  CLI::App* mpirun = render->add_subcommand("mpirun", "The commands of each phase on this machine");
  AddCommonOptions(*mpirun, *flags);
  mpirun->callback([flags] { RenderMpirun(*flags); });
  CLI::App* slurm = render->add_subcommand("slurm", "The batch script of a phase of trainers, for sbatch");
  AddCommonOptions(*slurm, *flags);
  slurm->add_option("--phase", flags->phase, "Phase")
      ->check(CLI::IsMember({"teacher", "cotrain", "finetune", "temporal", "evaluate"}))
      ->capture_default_str();
  slurm->add_option("--round", flags->round, "Round of cotrain")->check(WholeNumber(0, 1'000))->capture_default_str();
  slurm->callback([flags] { RenderSlurm(*flags); });
}

}  // namespace ferment::cli
