// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <iostream>
#include <optional>
#include <thread>

#include "common/base/core_file.h"
#include "common/base/environment_names.h"
#include "common/base/inherited_state.h"
#include "common/base/instruction_set.h"
#include "common/base/logging.h"
#include "common/base/unique_name.h"
#include "common/base/usable_cores.h"
#include "common/base/whole_number.h"
#include "common/config/environment_check.h"
#include "common/config/flag_errors.h"
#include "common/io/standard_output.h"
#include "common/rpc/credentials/credential_reload.h"
#include "labeler/grpc_lease_client.h"
#include "labeler/labeler_config.h"
#include "labeler/labeler_loop.h"
#include "labeler/offline_lease_client.h"
#include "labeler/replay_record.h"
#include "labeler/torch_annotator.h"

namespace ferment::labeler {
namespace {

/// Turns TERM, INT and USR2 into a stop request, a second INT into the end at once, and HUP into a call; USR1 is for
/// trainers. Construct before any other thread, so that all of them leave the signals to this one.
class LabelerSignals {
 public:
  explicit LabelerSignals(std::function<void()> on_hangup) : on_hangup_(std::move(on_hangup)) {
    sigemptyset(&signals_);
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&signals_, number);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c)
    thread_ = std::jthread([this](const std::stop_token& stop) {
      const timespec poll{.tv_sec = 0, .tv_nsec = 100'000'000};
      while (!stop.stop_requested()) {
        if (const int number = sigtimedwait(&signals_, nullptr, &poll); number > 0) Take(number);
      }
    });
  }
  std::stop_token ending() const { return ending_.get_token(); }

 private:
  void Take(int number) {
    if (number == SIGUSR1) return;
    if (number == SIGHUP) return on_hangup_();
    if (number == SIGINT && ++interrupts_ > 1) std::_Exit(exit_code::kInterrupted);
    ending_.request_stop();
  }

  const std::function<void()> on_hangup_;
  sigset_t signals_{};
  int interrupts_ = 0;
  std::stop_source ending_;
  std::jthread thread_;
};

std::string HostName() {
  char host[256] = "labeler";
  gethostname(host, sizeof(host) - 1);
  return host;
}

Status Label(const LabelerConfig& config, const InferenceDevice& device, const std::stop_token& ending) {
  const std::string arithmetic(device.cuda ? kCudaClass : InstructionSetClass());
  std::unique_ptr<LeaseClient> client;
  if (config.offline) {
    FERMENT_ASSIGN_OR_RETURN(
        client, MakeOfflineLeaseClient(config.run_dir, config.job, config.label_store, arithmetic, ending));
  } else {
    const std::string name = config.name.empty() ? HostName() + "-" + std::to_string(getpid()) : config.name;
    const std::string host = config.host.empty() ? HostName() : config.host;
    FERMENT_ASSIGN_OR_RETURN(const auto credentials, rpc::ResolveCredentials(config.credentials));
    FERMENT_ASSIGN_OR_RETURN(client, MakeGrpcLeaseClient(config.coordinator, credentials,
                                                         {name, NewUniqueName(), arithmetic, host}, ending));
    LogInfo(
        "labeler_started",
        {{"name", name}, {"coordinator", config.coordinator}, {"arithmetic", arithmetic}, {"threads", config.threads}});
  }
  WorkRunner runner(
      [&](const RunSpec& spec, const Model& model) {
        return MakeTorchAnnotator(spec, model.file, model.digest, device, ending);
      },
      config.threads, ending);
  return LabelerLoop(*client, runner, config.exit_when_idle || config.offline,
                     config.offline ? NextLease::kTakenWhenBegun : NextLease::kTakenAhead)
      .Run(ending);
}

/// Returns: `code`, or why not all of `text` could be printed.
int Print(const std::string& text, int code) {
  std::fputs(text.c_str(), stdout);
  const Status printed = io::FlushStandardOutput();
  if (printed.ok()) return code;
  std::fprintf(stderr, "ferment: %s\n", std::string(printed.message()).c_str());
  return ProcessExitCode(printed);
}

int PrintPredictions(const PredictOptions& options) {
  const auto report = Predict(options);
  if (!report) {
    std::fprintf(stderr, "ferment predict: %s\n", std::string(report.error().message()).c_str());
    return ProcessExitCode(report.error());
  }
  return Print(report->text, exit_code::kOk);
}

int PrintReplay(const LabelerConfig& config, const InferenceDevice& device) {
  const bool json = config.prediction.format == PredictFormat::kJson;
  const auto report = ReplayRecord(config.run_dir, *config.replay, json, device);
  if (!report) {
    std::fprintf(stderr, "ferment labels replay: %s\n", std::string(report.error().message()).c_str());
    return ProcessExitCode(report.error());
  }
  return Print(report->text, report->same ? exit_code::kOk : exit_code::kBadData);
}

int Run(LabelerConfig config) {
  if (config.threads == 0) config.threads = static_cast<int>(UsableCores());
  // Every thread decodes faces and looks at them by itself, so that none waits for another.
  SetInferenceThreads(1);
  KeepFreedMemory();
  // Before LibTorch's CUDA half has threads of its own, which would have the signals too.
  std::optional<LabelerSignals> signals;
  // Nothing needs to be handed back by the others, so Ctrl-C may end them where they are.
  if (!config.predict && !config.replay) {
    signals.emplace([flags = config.credentials] {
      if (const auto paths = rpc::ResolveCredentials(flags)) rpc::ReloadCredentials(*paths);
    });
  }
  auto device = ChooseInferenceDevice(config.device, config.gpu);
  if (!device) {
    LogError("no_device", {{"error", device.error().message()}});
    return ProcessExitCode(device.error());
  }
  device->threads = config.threads;
  config.prediction.device = *device;
  if (config.predict) return PrintPredictions(config.prediction);
  if (config.replay) return PrintReplay(config, *device);
  const Status status = Label(config, *device, signals->ending());
  if (signals->ending().stop_requested()) return exit_code::kTerminated;
  if (!status.ok()) LogError("labeler_failed", {{"error", status.message()}});
  return ProcessExitCode(status);
}

void AddCredentialOptions(CLI::App& app, rpc::CredentialFlags& flags) {
  const auto add = [&app](const char* name, std::string& value, const char* about, const char* variable) {
    app.add_option(name, value, about)->envname(variable);
  };
  add("--tls-dir", flags.tls_dir, "Folder with tls.crt, tls.key and ca.crt, for a coordinator with TLS",
      environment::kTlsDir);
  add("--tls-cert", flags.tls_cert, "Certificate, where it lies elsewhere", environment::kTlsCert);
  add("--tls-key", flags.tls_key, "Its key", environment::kTlsKey);
  add("--tls-ca", flags.tls_ca, "Authority of the coordinator's certificate", environment::kTlsCa);
  add("--tls-crl", flags.tls_crl, "Certificates that it has revoked; in --tls-dir: ca.crl", environment::kTlsCrl);
  add("--token-file", flags.token_file, "File with a token, in place of a certificate", environment::kTokenFile);
}

void AddWorkOptions(CLI::App& app, LabelerConfig& config) {
  app.add_option("--coordinator", config.coordinator, "HOST:PORT to lease work from");
  AddCredentialOptions(app, config.credentials);
  app.add_option("--name", config.name,
                 "Name on the status page, the same when started again; default: host and process id");
  app.add_option("--host", config.host, "The machine that it runs on; default: as the system calls it")
      ->envname(environment::kHost);
  app.add_option("--threads", config.threads, "Threads; 0 = one for each core that it may use")
      ->check(WholeNumber(0, 1024))
      ->capture_default_str();
  app.add_option("--device", config.device, "What networks run on; auto: a GPU where this process may use one")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--gpu", config.gpu, "Which GPU, counted round over those that this process may use")
      ->check(WholeNumber(0, 1024))
      ->capture_default_str();
  app.add_flag("--exit-when-idle", config.exit_when_idle, "Leave once there is no work, now or later");
  app.add_flag("--offline", config.offline, "Label a run folder without a coordinator");
  app.add_option("--replay", config.replay, "Label the record with this key again, compare and leave")
      ->check(WholeNumber(0, UINT64_MAX));
  app.add_option("--run-dir", config.run_dir, "Run folder, for --offline and --replay");
  app.add_option("--job", config.job, "Label job, for --offline")->capture_default_str();
  app.add_option(
         "--label-store", config.label_store,
         "s3://BUCKET/PREFIX where label sets of a run that has none go, for --offline; default: the run's folder")
      ->envname(environment::kLabelStore);
}

int Main(int argc, char** argv) {
  MendInheritedState();
  LeaveNoCoreFile();
  LabelerConfig config;
  bool json = false;
  bool csv = false;
  bool print_config = false;
  CLI::App app(
      "ferment-labeler: labels shards of unlabelled faces with a teacher, and videos with the frozen networks");
  app.set_version_flag("--version", "ferment-labeler " FERMENT_VERSION);
  AddWorkOptions(app, config);
  app.add_flag("--print-config", print_config,
               "Print the configuration and leave; what is wrong with it is told as at a start");
  app.add_flag("--predict", config.predict, "Print the classes of pictures and leave");
  app.add_option("--model", config.prediction.model, "Export folder of a run, for --predict");
  app.add_option("paths", config.prediction.paths, "Pictures or folders of them, for --predict");
  app.add_flag("--json", json, "Predictions, or a replay, as JSON");
  app.add_flag("--csv", csv, "Predictions as CSV")->excludes("--json");
  app.add_flag("--static", config.prediction.picture_by_picture,
               "Every picture by itself: no temporal encoder over a video's frames");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return SayWhyNotParsed(app, error, std::cout, std::cerr);
  }
  if (json) config.prediction.format = PredictFormat::kJson;
  if (csv) config.prediction.format = PredictFormat::kCsv;
  SetUpLogging(
      {.program = "ferment-labeler", .level = config.predict || config.replay ? LogLevel::kWarning : LogLevel::kInfo});
  WarnOfMistypedVariables();
  if (print_config) std::fputs(Describe(config).c_str(), stdout);
  if (const Status status = Check(config); !status.ok()) {
    std::fprintf(stderr, "ferment-labeler: %s\n", std::string(status.message()).c_str());
    return exit_code::kUsage;
  }
  return print_config ? exit_code::kOk : Run(std::move(config));
}

}  // namespace
}  // namespace ferment::labeler

int main(int argc, char** argv) { return ferment::labeler::Main(argc, argv); }
