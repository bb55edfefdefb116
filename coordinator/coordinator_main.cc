// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <cstdio>
#include <functional>
#include <future>
#include <thread>

#include "common/base/logging.h"
#include "common/config/launch_command.h"
#include "common/config/run_layout.h"
#include "common/event/admin_server.h"
#include "common/event/child_process.h"
#include "common/event/event_loop.h"
#include "common/metrics/prometheus_registry.h"
#include "common/rpc/grpc_server.h"
#include "common/rpc/listen_address.h"
#include "coordinator/admin_routes.h"
#include "coordinator/coordinator_config.h"
#include "coordinator/launch/local_launcher.h"
#include "coordinator/local_run_files.h"
#include "coordinator/rpc/lease_service.h"
#include "coordinator/rpc/run_service.h"
#include "coordinator/rpc/run_status.h"
#include "coordinator/rpc/trainer_service.h"
#include "coordinator/scheduler.h"
#include "coordinator/store/postgres_event_store.h"
#include "coordinator/store/sqlite_event_store.h"

namespace ferment::coordinator {
namespace {

constexpr std::chrono::milliseconds kPageInterval{500};
constexpr std::chrono::milliseconds kShutdownGrace{2'000};
constexpr std::size_t kPageRuns = 20;

LaunchPlanner MakeLaunchPlanner(const CoordinatorConfig& config, const std::string& address) {
  return [=](const RunSpec& spec, const Run& run, const Job& job) {
    TrainerLaunch launch;
    launch.mpirun = config.mpirun;
    launch.trainer = config.trainer;
    launch.run_dir = run.run_dir;
    launch.phase = std::string(PhaseName(job.plan.phase));
    launch.round = job.plan.round;
    launch.coordinator = address;
    launch.run_id = run.run_id;
    launch.attempt = job.attempt.number;
    launch.cores = std::max(1U, std::thread::hardware_concurrency());
    launch.as_root = geteuid() == 0;
    LaunchCommand command = MakeLaunchCommand(spec, launch);
    return LaunchRequest{.key = {},
                         .argv = std::move(command.argv),
                         .rank_program = config.trainer.string(),
                         .env = std::move(command.env),
                         .log_file = RunLayout(run.run_dir).Log(job.plan.job_id),
                         .run_dir = run.run_dir};
  };
}

/// On port 0, the former process's port first, so that those who knew it find this one; then any.
template <typename Start>
auto StartWhereItWas(const std::string& wanted, const std::string& former, Start start) {
  const auto parsed = rpc::ParseListenAddress(wanted);
  if (parsed && parsed->port == 0 && !former.empty()) {
    if (auto server = start(former)) return server;
  }
  return start(wanted);
}

/// The first reason to end, from a signal or from the store.
class Ending {
 public:
  void Because(int exit_code) {
    if (!asked_.exchange(true)) reason_.set_value(exit_code);
  }
  int Wait() { return reason_.get_future().get(); }

 private:
  std::atomic<bool> asked_{false};
  std::promise<int> reason_;
};

PostgresStoreOptions PostgresOptions(const CoordinatorConfig& config, const std::string& admin, std::stop_token stop,
                                     SchedulerMetrics& metrics) {
  PostgresStoreOptions options;
  options.address = config.store;
  options.holder = admin + " pid " + std::to_string(getpid());
  options.stop = std::move(stop);
  options.stands_by = [admin](const std::string& leader) {
    LogInfo("coordinator.stands_by", {{"leader", leader}, {"admin", "http://" + admin + "/"}});
  };
  options.reconnected = [&metrics] { metrics.store_reconnects.Increment(); };
  return options;
}

/// `serve_admin` returns the admin server's address; where coordinators share a store it serves while this one stands
/// by, else a store that cannot be opened is told first. Errors: Cancelled where it was asked to leave while it stood
/// by; those of both.
Result<std::unique_ptr<EventStore>> OpenStore(const CoordinatorConfig& config,
                                              const std::function<Result<std::string>()>& serve_admin,
                                              std::stop_token stop, SchedulerMetrics& metrics) {
  if (StoreIsShared(config)) {
    FERMENT_ASSIGN_OR_RETURN(const std::string admin, serve_admin());
    return OpenPostgresEventStore(PostgresOptions(config, admin, std::move(stop), metrics));
  }
  FERMENT_ASSIGN_OR_RETURN(const std::filesystem::path store_file, StoreFile(config));
  FERMENT_ASSIGN_OR_RETURN(auto store, OpenSqliteEventStore(store_file));
  if (const auto admin = serve_admin(); !admin) return Fail(admin.error());
  return store;
}

/// Keeps the status page's view of the runs fresh until it is stopped.
std::jthread KeepPageFresh(Scheduler& scheduler, AdminState& admin_state) {
  return std::jthread([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      if (const auto views = scheduler.List(0, kPageRuns)) admin_state.SetRuns(RunsAsJson(*views));
      std::this_thread::sleep_for(kPageInterval);
    }
  });
}

Result<int> Serve(const CoordinatorConfig& config) {
  FERMENT_RETURN_IF_ERROR(Check(config));
  Ending ending;
  std::stop_source leaving;
  AdminState admin_state;
  const auto registry = metrics::MakePrometheusRegistry();
  SchedulerMetrics scheduler_metrics(*registry);
  const auto launcher = MakeLocalLauncher();
  const auto run_files = MakeLocalRunFiles();
  event::EventLoop loop;
  loop.OnSignals({SIGTERM, SIGINT}, [&](int) {
    ending.Because(exit_code::kTerminated);
    leaving.request_stop();
  });

  // The address is part of every launch, so the server takes its port first; requests that come before Start wait in
  // the scheduler's queue.
  const ServedAddresses former = ReadAddressFile(config.address_file);
  const auto serve_admin = [&] {
    return StartWhereItWas(
        config.admin, former.admin, [&](const std::string& listen) -> Result<std::unique_ptr<event::AdminServer>> {
          FERMENT_ASSIGN_OR_RETURN(const auto parsed, rpc::ParseListenAddress(listen));
          FERMENT_RETURN_IF_ERROR(rpc::RefuseOpenAddress(parsed, config.insecure));
          return event::AdminServer::Start(loop, {parsed.host, parsed.port}, AdminRoutes(admin_state, *registry));
        });
  };
  // One that stands by answers probes, and opens no gRPC port: whoever tries the addresses in turn finds the leader.
  std::unique_ptr<event::AdminServer> admin;
  auto opened = OpenStore(
      config,
      [&]() -> Result<std::string> {
        FERMENT_ASSIGN_OR_RETURN(admin, serve_admin());
        return admin->address();
      },
      leaving.get_token(), scheduler_metrics);
  if (!opened && opened.error().code() == StatusCode::kCancelled) return ending.Wait();
  FERMENT_ASSIGN_OR_RETURN(std::unique_ptr<EventStore> store, std::move(opened));
  LogInfo("store.open", {{"store", config.store}, {"term", store->term()}});
  scheduler_metrics.term.Set(static_cast<double>(store->term()));
  std::string address;
  Scheduler scheduler({std::move(store), *launcher, *run_files, SystemClock(), scheduler_metrics,
                       [&](const RunSpec& spec, const Run& run, const Job& job) {
                         return MakeLaunchPlanner(config, address)(spec, run, job);
                       },
                       [&ending](const Status& failure) { ending.Because(ProcessExitCode(failure)); }},
                      {});
  RunServiceImpl run_service(scheduler);
  LeaseServiceImpl lease_service(scheduler);
  TrainerServiceImpl trainer_service(scheduler);
  const std::array<grpc::Service*, 3> services = {&run_service, &lease_service, &trainer_service};
  FERMENT_ASSIGN_OR_RETURN(const auto server,
                           StartWhereItWas(config.listen, former.grpc, [&](const std::string& listen) {
                             return rpc::GrpcServer::Start({.listen = listen, .insecure = config.insecure}, services);
                           }));
  address = server->address();
  FERMENT_RETURN_IF_ERROR(scheduler.Start());

  std::jthread page = KeepPageFresh(scheduler, admin_state);
  if (!config.address_file.empty()) {
    FERMENT_RETURN_IF_ERROR(WriteAddressFile(config.address_file, {address, admin->address()}));
  }
  admin_state.SetReady(true);
  scheduler_metrics.leading.Set(1);
  LogInfo("coordinator.serving", {{"grpc", address}, {"admin", "http://" + admin->address() + "/"}});

  const int code = ending.Wait();
  LogInfo("coordinator.draining", {{"exit_code", code}});
  admin_state.SetReady(false);
  scheduler_metrics.leading.Set(0);
  server->SetServing(false);
  if (code == exit_code::kTerminated) scheduler.Drain(config.drain);
  run_service.EndStreams();
  server->Shutdown(kShutdownGrace);
  page.request_stop();
  page.join();
  scheduler.Stop();
  loop.Stop();
  return code;
}

int Main(int argc, char** argv) {
  CoordinatorConfig config;
  config.trainer = event::ProgramFolder() / "ferment-trainer";
  bool print_config = false;
  int drain_seconds = static_cast<int>(config.drain.count());
  CLI::App app("ferment-coordinator: owns runs, jobs, shards and leases; starts trainers; serves the status page");
  app.footer(
      "Example:\n  ferment-coordinator --store sqlite:ferment.db --listen 127.0.0.1:50400 --admin 127.0.0.1:50401");
  app.add_option("--store", config.store,
                 "Event log: sqlite:FILE, or postgresql://USER@HOST/DATABASE that several coordinators share")
      ->capture_default_str();
  app.add_option("--listen", config.listen, "gRPC HOST:PORT; port 0 = any")->capture_default_str();
  app.add_option("--admin", config.admin, "HTTP HOST:PORT of metrics, probes and page; port 0 = any")
      ->capture_default_str();
  app.add_option("--address-file", config.address_file, "Written once serving: {\"grpc\", \"admin\", \"pid\"}");
  app.add_option("--trainer", config.trainer, "The trainer program, the same on every host")->capture_default_str();
  app.add_option("--mpirun", config.mpirun, "The mpirun program")->capture_default_str();
  app.add_option("--drain", drain_seconds, "Seconds that TERM waits for checkpoints, 0 to 600")->capture_default_str();
  app.add_flag("--insecure", config.insecure, "Serve other machines without TLS");
  app.add_flag("--print-config", print_config, "Print the configuration and leave");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_code::kOk : exit_code::kUsage;
  }
  config.drain = std::chrono::seconds(drain_seconds);
  SetUpLogging({.program = "ferment-coordinator"});
  event::IgnoreBrokenPipes();
  if (print_config) {
    std::fputs(Describe(config).c_str(), stdout);
    return exit_code::kOk;
  }
  const auto code = Serve(config);
  if (code) return *code;
  LogError("coordinator.failed", {{"error", code.error().message()}});
  return ProcessExitCode(code.error());
}

}  // namespace
}  // namespace ferment::coordinator

int main(int argc, char** argv) { return ferment::coordinator::Main(argc, argv); }
