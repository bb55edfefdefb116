// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <memory>

#include "cli/command.h"
#include "cli/launch_plan.h"
#include "common/config/run_layout.h"
#include "common/config/spec_loader.h"

namespace ferment::cli {
namespace {

struct RenderFlags {
  std::string spec;
  std::string run_dir;
  std::vector<std::string> set;
};

void RenderMpirun(const RenderFlags& flags) {
  const RunSpec spec = OrLeave(LoadSpec(flags.spec, OrLeave(ParseOverrides(flags.set)))).spec;
  const auto run_dir =
      std::filesystem::absolute(flags.run_dir.empty() ? "runs/" + spec.name() : flags.run_dir).lexically_normal();
  std::cout << "# The phases of " << spec.name() << " in order, each after the one before it has ended well.\n"
            << "# They read " << RunLayout(run_dir).Spec().string()
            << ", which `ferment run` writes, and need no coordinator.\n";
  PrintPhases(std::cout, spec, run_dir);
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
