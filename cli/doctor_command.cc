// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <thread>

#include "cli/command.h"
#include "cli/credential_options.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/event/admin_server.h"
#include "common/event/child_process.h"
#include "common/rpc/certificate_facts.h"

namespace ferment::cli {
namespace {

namespace fs = std::filesystem;

struct Finding {
  std::string check;
  bool good = false;
  std::string found;
  /// What to do; shown where it is not good.
  std::string fix;
};

constexpr std::uintmax_t kGiB = 1ULL << 30;

Finding CheckProgram(const std::string& name, const fs::path& program, const std::string& fix) {
  const auto path = event::FindProgram(program.string());
  return {name, path.has_value(), path ? path->string() : "missing", fix};
}

Finding CheckSpace(const std::string& name, const fs::path& folder, std::uintmax_t wanted, const std::string& fix) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) return {name, false, folder.string() + ": " + error.message(), fix};
  char text[96];
  std::snprintf(text, sizeof text, "%.1f GiB free", static_cast<double>(space.available) / static_cast<double>(kGiB));
  return {name, space.available >= wanted, text, fix};
}

Finding CheckSync(const fs::path& folder) {
  const fs::path file = folder / (".ferment-doctor-" + std::to_string(getpid()));
  const std::string fix = "keep run folders on a local disk that this user may write to: --run-dir";
  const int handle = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (handle < 0) return {"fsync", false, "cannot write in " + folder.string(), fix};
  const auto before = std::chrono::steady_clock::now();
  constexpr int kRounds = 10;
  bool good = true;
  for (int round = 0; round < kRounds; ++round) good = good && write(handle, "x", 1) == 1 && fsync(handle) == 0;
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - before;
  close(handle);
  std::error_code ignored;
  fs::remove(file, ignored);
  char text[64];
  std::snprintf(text, sizeof text, "%.1f ms each", took.count() / kRounds);
  return {"fsync", good && took.count() / kRounds < 100, good ? text : "failed", fix};
}

Finding CheckPort() {
  event::EventLoop loop;
  const auto server = event::AdminServer::Start(loop, {}, {});
  const std::string found = server ? "127.0.0.1 has free ports" : std::string(server.error().message());
  loop.Stop();
  return {"loopback", server.has_value(), found, "bring the interface up: ip link set lo up"};
}

Finding CheckCores() {
  const unsigned cores = std::thread::hardware_concurrency();
  return {"cores", cores >= 2, std::to_string(cores), "two cores or more; it works on one, slowly"};
}

/// Certificate, key and authorities of a --tls-dir, and how long they are good.
Finding CheckCertificates(const rpc::CredentialFlags& flags) {
  const std::string fix = "renew them: ferment dev-certs DIR --force";
  const auto paths = rpc::ResolveCredentials(flags);
  if (!paths) return {"certificates", false, std::string(paths.error().message()), fix};
  if (const Status usable = rpc::CheckCredentials(*paths); !usable.ok()) {
    return {"certificates", false, std::string(usable.message()), fix};
  }
  if (!paths->HaveCertificate())
    return {"certificates", true, "an authority to trust, no certificate of one's own", ""};
  const auto text = rpc::ReadCredential(paths->certificate);
  const auto facts = text ? rpc::ReadCertificateFacts(*text) : Result<rpc::CertificateFacts>(Fail(text.error()));
  if (!facts) return {"certificates", false, std::string(facts.error().message()), fix};
  const auto left = std::chrono::duration_cast<std::chrono::hours>(facts->expires - SystemClock().WallNow());
  std::string found = facts->uri + ", " + std::to_string(left.count() / 24) + " days left";
  for (const std::string& host : facts->hosts) found += (&host == &facts->hosts.front() ? ", serves " : " ") + host;
  return {"certificates", left > std::chrono::hours(24 * 7), found, fix};
}

std::vector<Finding> Examine(const fs::path& folder) {
  const fs::path programs = event::ProgramFolder();
  const std::string build = "build it: make build";
  return {
      CheckProgram("mpirun", "mpirun", "install Open MPI (Debian: apt-get install openmpi-bin)"),
      CheckProgram("coordinator", programs / "ferment-coordinator", build),
      CheckProgram("labeler", programs / "ferment-labeler", build),
      CheckProgram("trainer", programs / "ferment-trainer", build),
      CheckCores(),
      CheckPort(),
      CheckSpace("disk", folder, 2 * kGiB, "free some space, or keep run folders elsewhere: --run-dir"),
      CheckSync(folder),
      CheckSpace("/dev/shm", "/dev/shm", kGiB / 4, "in a container: --shm-size=1g, or an emptyDir with medium: Memory"),
  };
}

void Doctor(const std::string& folder, const rpc::CredentialFlags& credentials, bool json) {
  bool all_good = true;
  std::vector<Finding> findings = Examine(folder);
  if (!credentials.tls_dir.empty() || !credentials.tls_ca.empty()) findings.push_back(CheckCertificates(credentials));
  for (const Finding& finding : findings) {
    all_good = all_good && finding.good;
    if (json) {
      Json line = {{"check", finding.check}, {"good", finding.good}, {"found", finding.found}};
      if (!finding.good) line["fix"] = finding.fix;
      std::cout << line.dump() << "\n";
      continue;
    }
    std::printf("%s %-12s %s\n", finding.good ? "✓" : "✗", finding.check.c_str(), finding.found.c_str());
    if (!finding.good) std::printf("  %-12s %s\n", "", finding.fix.c_str());
  }
  if (!all_good) LeaveWith(exit_code::kMissingService);
}

}  // namespace

void AddDoctorCommand(CLI::App& app) {
  CLI::App* doctor = app.add_subcommand("doctor", "Check that this machine has what a run needs, and say what to mend");
  auto folder = std::make_shared<std::string>(".");
  auto json = std::make_shared<bool>(false);
  doctor->add_option("--run-dir", *folder, "Folder in which runs are kept; default: this one");
  doctor->add_flag("--json", *json, "One JSON object a line");
  auto credentials = std::make_shared<rpc::CredentialFlags>();
  AddCredentialOptions(*doctor, *credentials);
  doctor->callback([folder, json, credentials] { Doctor(*folder, *credentials, *json); });
}

}  // namespace ferment::cli
