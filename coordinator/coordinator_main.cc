// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>

#include "common/base/core_file.h"
#include "common/base/environment_names.h"
#include "common/base/inherited_state.h"
#include "common/base/logging.h"
#include "common/base/out_of_memory.h"
#include "common/base/whole_number.h"
#include "common/config/environment_check.h"
#include "common/config/flag_errors.h"
#include "common/event/child_process.h"
#include "common/event/event_loop.h"
#include "coordinator/coordinator_process.h"

namespace ferment::coordinator {
namespace {

void AddSecurityOptions(CLI::App& app, CoordinatorConfig& config) {
  app.add_option("--tls-dir", config.tls.tls_dir,
                 "Folder with tls.crt, tls.key and ca.crt: TLS, and roles; ca.crl in it: revoked ones")
      ->envname(environment::kTlsDir);
  app.add_option("--tls-cert", config.tls.tls_cert, "Certificate, where it lies elsewhere")
      ->envname(environment::kTlsCert);
  app.add_option("--tls-key", config.tls.tls_key, "Its key")->envname(environment::kTlsKey);
  app.add_option("--tls-ca", config.tls.tls_ca, "Authorities of those who call")->envname(environment::kTlsCa);
  app.add_option("--tls-crl", config.tls.tls_crl, "Certificates that they have revoked")->envname(environment::kTlsCrl);
  app.add_option("--trainer-tls-dir", config.trainer_tls_dir, "Such a folder for the trainers that are launched");
  app.add_option("--tokens", config.tokens, "Hashes of the tokens of people without certificates; needs TLS");
  app.add_option("--audit-file", config.audit_file, "Who did what, a sealed line a call; see `ferment audit verify`");
}

/// Returns: a check, as CLI11 takes it.
auto Within(const FlagRange& range) {
  return WholeNumber(static_cast<std::uint64_t>(range.least), static_cast<std::uint64_t>(range.most));
}

void AddLimitOptions(CLI::App& app, CoordinatorLimits& limits) {
  const auto add = [&app](const char* flag, int& value, const char* help, const FlagRange& range) {
    app.add_option(flag, value, help)->check(Within(range))->capture_default_str();
  };
  add("--max-connections", limits.connections, "gRPC connections", kConnectionsRange);
  add("--max-connections-per-peer", limits.connections_per_peer, "Those of one IP address", kConnectionsPerPeerRange);
  add("--max-streams", limits.streams, "Runs and logs being followed", kStreamsRange);
  add("--max-waiting", limits.waiting, "Requests that wait for the scheduler; further ones are refused", kWaitingRange);
}

/// An option in whole seconds.
template <typename Time>
void AddSeconds(CLI::App& app, const std::string& flag, Time& time, const std::string& help, const FlagRange& range) {
  const auto set = [&time](std::int32_t seconds) { time = std::chrono::seconds(seconds); };
  const std::string allowed = ", " + std::to_string(range.least) + " to " + std::to_string(range.most);
  app.add_option_function<std::int32_t>(flag, set, help + allowed)
      ->check(Within(range))
      ->default_str(std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()));
}

void AddTimeOptions(CLI::App& app, CoordinatorConfig& config) {
  AddSeconds(app, "--drain", config.drain, "Seconds that TERM waits for checkpoints", kDrainRange);
  app.add_option("--cool-down-after", config.cool_down.after,
                 "Failures in a row, without a commit, after which a labeler is granted nothing for a while; 0: never")
      ->check(Within(kCoolDownAfterRange))
      ->capture_default_str();
  AddSeconds(app, "--cool-down-first", config.cool_down.first,
             "Seconds of the first such while, which each failure doubles", kCoolDownRange);
  AddSeconds(app, "--cool-down-longest", config.cool_down.longest, "Seconds of the longest one", kCoolDownRange);
}

/// Returns: 0. Errors: those of the configuration, with which a coordinator would not start.
Result<int> Print(const CoordinatorConfig& config) {
  std::fputs(Describe(config).c_str(), stdout);
  FERMENT_RETURN_IF_ERROR(Check(config));
  return exit_code::kOk;
}

int Main(int argc, char** argv) {
  MendInheritedState();
  EndWhereMemoryIsOut();
  LeaveNoCoreFile();
  CoordinatorConfig config;
  config.trainer = event::ProgramFolder() / "ferment-trainer";
  bool print_config = false;
  CLI::App app("ferment-coordinator: owns runs, jobs, shards and leases; starts trainers; serves the status page");
  app.footer(
      "Example:\n  ferment-coordinator --store sqlite:ferment.db --listen 127.0.0.1:50400 --admin 127.0.0.1:50401");
  app.set_version_flag("--version", "ferment-coordinator " FERMENT_VERSION);
  app.add_option("--store", config.store,
                 "Event log: sqlite:FILE, or postgresql://USER@HOST/DATABASE that several coordinators share")
      ->capture_default_str();
  app.add_flag("--store-on-network", config.store_on_network,
               "Take a SQLite store on a network file system; one machine alone must ever open it");
  app.add_option("--listen", config.listen, "gRPC HOST:PORT; port 0 = any")->capture_default_str();
  app.add_option("--advertise", config.advertise, "gRPC HOST:PORT that trainers are told; default: where it is served");
  app.add_option("--admin", config.admin, "HTTP HOST:PORT of metrics, probes and page; port 0 = any")
      ->capture_default_str();
  app.add_option("--address-file", config.address_file, "Written once serving: {\"grpc\", \"admin\", \"pid\"}");
  app.add_option("--label-store", config.label_store,
                 "s3://BUCKET/PREFIX where label sets of new runs go; default: the run's folder")
      ->envname(environment::kLabelStore);
  app.add_option("--trainer", config.trainer, "The trainer program, the same on every host")->capture_default_str();
  app.add_option("--mpirun", config.mpirun, "The mpirun program")->capture_default_str();
  AddTimeOptions(app, config);
  app.add_option("--keep-runs", config.keep_runs, "Runs that have ended and are remembered, the latest ones")
      ->check(Within(kKeepRunsRange))
      ->capture_default_str();
  app.add_flag("--insecure", config.insecure,
               "Serve other machines without TLS (gRPC without --tls-dir, and the admin port)");
  app.add_option("--reflection", config.reflection, "Tell gRPC clients what can be called; auto = on without TLS")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
  AddSecurityOptions(app, config);
  AddLimitOptions(app, config.limits);
  app.add_flag("--print-config", print_config,
               "Print the configuration and leave; what is wrong with it is told as at a start");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return SayWhyNotParsed(app, error, std::cout, std::cerr);
  }
  SetUpLogging({.program = "ferment-coordinator"});
  WarnOfMistypedVariables();
  event::IgnoreBrokenPipes();
  const Result<int> code = print_config ? Print(config) : RunCoordinator(config);
  if (code) return *code;
  LogError("coordinator.failed", {{"error", code.error().message()}});
  return ProcessExitCode(code.error());
}

}  // namespace
}  // namespace ferment::coordinator

int main(int argc, char** argv) { return ferment::coordinator::Main(argc, argv); }
