// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>

#include "cli/command.h"
#include "cli/credential_options.h"
#include "cli/doctor/doctor_hosts.h"
#include "cli/doctor/doctor_machine.h"
#include "cli/doctor/doctor_service.h"
#include "cli/doctor/doctor_slurm.h"
#include "cli/doctor/doctor_spec.h"
#include "common/base/json.h"
#include "common/base/whole_number.h"
#include "common/config/spec_loader.h"
#include "common/event/child_process.h"
#include "common/io/network_file_system.h"
#include "common/rpc/listen_address.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;

struct DoctorFlags {
  std::string run_dir;
  std::string spec;
  std::vector<std::string> set;
  std::string hosts;
  std::string host_file;
  std::string listen = rpc::kDefaultGrpcAddress;
  std::string admin = rpc::kDefaultAdminAddress;
  unsigned kill_grace = 50;
  rpc::CredentialFlags credentials;
  bool json = false;
};

/// Returns: the folder itself, or the nearest above it that is there: a run makes its own.
fs::path ExistingFolder(const fs::path& wanted) {
  std::error_code error;
  fs::path folder = fs::absolute(wanted).lexically_normal();
  while (!fs::is_directory(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

void Append(Findings& to, Findings from) { to.insert(to.end(), from.begin(), from.end()); }

/// Everything is read before the first check, so that a mistyped flag costs no wait.
struct Questions {
  std::optional<RunSpec> spec;
  std::vector<std::string> hosts;
  rpc::ListenAddress listen;
  rpc::ListenAddress admin;
};

rpc::ListenAddress AddressOrLeave(const char* flag, const std::string& text) {
  auto address = rpc::ParseListenAddress(text);
  if (!address) LeaveBecause(address.error().With(flag));
  return *std::move(address);
}

Questions ReadQuestions(const DoctorFlags& flags) {
  Questions questions;
  questions.listen = AddressOrLeave("--listen", flags.listen);
  questions.admin = AddressOrLeave("--admin", flags.admin);
  if (!flags.spec.empty()) questions.spec = OrLeave(LoadSpec(flags.spec, OrLeave(ParseOverrides(flags.set)))).spec;
  if (!flags.host_file.empty()) questions.hosts = OrLeave(ReadHostFile(flags.host_file));
  if (!flags.hosts.empty()) questions.hosts = OrLeave(ParseHosts(flags.hosts));
  return questions;
}

Findings Examine(const DoctorFlags& flags) {
  const Questions questions = ReadQuestions(flags);
  const std::string of_spec = questions.spec ? "runs/" + questions.spec->name() : ".";
  const fs::path run_dir = flags.run_dir.empty() ? of_spec : flags.run_dir;
  const fs::path folder = ExistingFolder(run_dir);
  const CheckpointCosts costs = ReadCheckpointCosts(run_dir);
  Findings findings = CheckMachine(folder);
  findings.push_back(CheckStore(io::NetworkFileSystemOf(folder)));
  if (questions.spec) {
    const std::uint64_t checkpoint = std::max(costs.largest_bytes, EstimateCheckpointBytes(*questions.spec));
    findings.push_back(
        CheckSpace(folder, std::max(2 * kGiB, 3 * checkpoint), "three checkpoints, label sets and logs"));
  } else {
    findings.push_back(CheckSpace(folder, std::max(2 * kGiB, 3 * costs.largest_bytes), "a run"));
  }
  Append(findings, CheckKillGrace(costs, std::chrono::seconds(flags.kill_grace)));
  findings.push_back(CheckPort("listen", questions.listen));
  findings.push_back(CheckPort("admin", questions.admin));
  if (!flags.credentials.tls_dir.empty() || !flags.credentials.tls_ca.empty()) {
    findings.push_back(CheckCertificates(flags.credentials));
    if (auto revocations = CheckRevocations(flags.credentials)) findings.push_back(*std::move(revocations));
  }
  if (questions.spec) Append(findings, CheckData(*questions.spec));
  if (questions.spec && questions.spec->resources().launcher() == "slurm") {
    Append(findings, CheckSlurm(*questions.spec));
  }
  if (!questions.hosts.empty()) {
    Append(findings, CheckHosts(questions.hosts, event::ProgramFolder() / "ferment-trainer", std::chrono::seconds(20)));
  }
  return findings;
}

void Doctor(const DoctorFlags& flags) {
  bool all_good = true;
  const Findings findings = Examine(flags);
  std::size_t width = 12;
  for (const Finding& finding : findings) width = std::max(width, finding.check.size());
  for (const Finding& finding : findings) {
    all_good = all_good && finding.good;
    if (flags.json) {
      Json line = {{"check", finding.check}, {"good", finding.good}, {"found", finding.found}};
      if (!finding.good) line["fix"] = finding.fix;
      std::cout << line.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
      continue;
    }
    const int columns = static_cast<int>(width);
    std::printf("%s %-*s %s\n", finding.good ? "✓" : "✗", columns, finding.check.c_str(), finding.found.c_str());
    if (!finding.good) std::printf("  %-*s %s\n", columns, "", finding.fix.c_str());
  }
  if (!all_good) LeaveWith(exit_code::kMissingService);
}

}  // namespace

void AddDoctorCommand(CLI::App& app) {
  CLI::App* doctor = app.add_subcommand(
      "doctor", "Check that this machine, and other hosts, have what a run needs, and say what to mend");
  auto flags = std::make_shared<DoctorFlags>();
  doctor->add_option("--run-dir", flags->run_dir,
                     "Folder of the run, or in which runs are kept; default: this one, runs/<name> with a spec");
  doctor->add_option("--spec", flags->spec, "Look at this spec's data, too, and whether its checkpoints fit");
  doctor->add_option("--set", flags->set, "KEY=VALUE, overrides the spec; may be given again")
      ->take_all()
      ->allow_extra_args(false)
      ->needs("--spec");
  CLI::Option* hosts =
      doctor->add_option("--hosts", flags->hosts, "Look at these, too: HOST[:SLOTS],... as for mpirun");
  doctor->add_option("--hostfile", flags->host_file, "The same from a file of lines: HOST slots=N")->excludes(hosts);
  doctor->add_option("--listen", flags->listen, "HOST:PORT as ferment-coordinator takes it")->capture_default_str();
  doctor->add_option("--admin", flags->admin, "HOST:PORT as ferment-coordinator takes it")->capture_default_str();
  doctor->add_option("--kill-grace", flags->kill_grace, "Seconds from TERM to KILL; ferment-coordinator --drain")
      ->capture_default_str()
      ->check(WholeNumber(0, 86'400));
  doctor->add_flag("--json", flags->json, "One JSON object a line");
  AddCredentialOptions(*doctor, flags->credentials);
  doctor->callback([flags] { Doctor(*flags); });
}

}  // namespace ferment::cli
