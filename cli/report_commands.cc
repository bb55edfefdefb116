// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include "cli/command.h"
#include "common/config/run_layout.h"
#include "common/report/run_report.h"

namespace ferment::cli {

void AddReportCommands(CLI::App& app) {
  CLI::App* report = app.add_subcommand("report", "Write report.html and report.json of a run folder anew");
  auto run_dir = std::make_shared<std::string>();
  report->add_option("RUN_DIR", *run_dir, "Folder of the run, such as runs/demo")->required();
  report->callback([run_dir] {
    LeaveIfFailed(report::WriteReport(*run_dir));
    const RunLayout layout{std::filesystem::path(*run_dir)};
    std::cout << layout.ReportPage().string() << '\n' << layout.ReportJson().string() << '\n';
  });
}

}  // namespace ferment::cli
