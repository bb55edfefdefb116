// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <ctime>
#include <thread>

#include "common/base/logging.h"
#include "common/base/unique_name.h"
#include "labeler/grpc_lease_client.h"
#include "labeler/labeler_loop.h"
#include "tests/chaos/hashing_annotator.h"
#include "tests/chaos/recording_lease_client.h"

namespace ferment::chaos {
namespace {

/// The labeler's own loop, lease keeper, pipeline and gRPC client; only its network is a hash and its client keeps a
/// history.
struct Flags {
  std::string coordinator;
  std::string tls_dir;
  std::string name;
  std::string history;
  int work_ms = 0;
  SleepBeforeCommit sleep;
};

Status Label(const Flags& flags, const std::stop_token& ending) {
  FERMENT_ASSIGN_OR_RETURN(const auto credentials, rpc::ResolveCredentials({.tls_dir = flags.tls_dir}));
  FERMENT_ASSIGN_OR_RETURN(
      auto client, labeler::MakeGrpcLeaseClient(flags.coordinator, credentials, {flags.name, NewUniqueName()}, ending));
  HistoryWriter history(flags.history, flags.name + "/" + std::to_string(getpid()));
  const auto recording = MakeRecordingLeaseClient(std::move(client), history, flags.sleep);
  labeler::WorkRunner runner(OpenHashingAnnotator(std::chrono::milliseconds(flags.work_ms)), 1);
  return labeler::LabelerLoop(*recording, runner, /*exit_when_idle=*/false).Run(ending);
}

int Run(const Flags& flags) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c)
  std::stop_source ending;
  const std::jthread listening([&](const std::stop_token& stop) {
    const timespec poll{.tv_sec = 0, .tv_nsec = 50'000'000};
    while (!stop.stop_requested()) {
      if (sigtimedwait(&signals, nullptr, &poll) == SIGTERM) ending.request_stop();
    }
  });
  const Status status = Label(flags, ending.get_token());
  if (ending.stop_requested()) return exit_code::kTerminated;
  if (!status.ok()) LogError("labeler_failed", {{"error", status.message()}});
  return ProcessExitCode(status);
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("A labeler whose network is a hash, for tests with many processes", "chaos_labeler");
  app.add_option("--coordinator", flags.coordinator)->required();
  app.add_option("--tls-dir", flags.tls_dir)->required();
  app.add_option("--name", flags.name)->required();
  app.add_option("--history", flags.history, "folder")->required();
  app.add_option("--work-ms", flags.work_ms, "what a batch takes");
  app.add_option("--sleep-one-in", flags.sleep.one_in, "stop oneself before one in so many commits");
  app.add_option("--seed", flags.sleep.seed);
  CLI11_PARSE(app, argc, argv);
  SetUpLogging({.program = "chaos_labeler", .level = LogLevel::kWarning});
  return Run(flags);
}

}  // namespace
}  // namespace ferment::chaos

int main(int argc, char** argv) { return ferment::chaos::Main(argc, argv); }
