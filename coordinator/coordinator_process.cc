// SPDX-License-Identifier: Apache-2.0
#include "coordinator/coordinator_process.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <thread>

#include "common/base/logging.h"
#include "common/event/admin_server.h"
#include "common/event/event_loop.h"
#include "common/io/audit_log.h"
#include "common/metrics/prometheus_registry.h"
#include "common/rpc/credentials/credential_reload.h"
#include "common/rpc/grpc_server.h"
#include "common/rpc/listen_address.h"
#include "common/rpc/outage_patience.h"
#include "coordinator/admin_routes.h"
#include "coordinator/call_trail.h"
#include "coordinator/ending.h"
#include "coordinator/launch/launcher_choice.h"
#include "coordinator/launch/local_launcher.h"
#include "coordinator/launch/slurm_launcher.h"
#include "coordinator/launch_planner.h"
#include "coordinator/local_run_files.h"
#include "coordinator/open_files.h"
#include "coordinator/readiness.h"
#include "coordinator/rpc/lease_service.h"
#include "coordinator/rpc/request_door.h"
#include "coordinator/rpc/run_service.h"
#include "coordinator/rpc/run_status.h"
#include "coordinator/rpc/trainer_service.h"
#include "coordinator/scheduler/scheduler.h"
#include "coordinator/store/postgres_event_store.h"
#include "coordinator/store/sqlite_event_store.h"

namespace ferment::coordinator {
namespace {

constexpr const char* kServices[] = {"ferment.v1.RunService", "ferment.v1.LeaseService", "ferment.v1.TrainerService"};
constexpr std::chrono::milliseconds kPageInterval{500};
constexpr std::chrono::milliseconds kLookInterval{200};
constexpr std::chrono::milliseconds kShutdownGrace{2'000};
constexpr std::size_t kPageRuns = 20;

/// On port 0, the former process's port first, so that those who knew it find this one; then any.
template <typename Start>
auto StartWhereItWas(const std::string& wanted, const std::string& former, Start start) {
  const auto parsed = rpc::ParseListenAddress(wanted);
  if (parsed && parsed->port == 0 && !former.empty()) {
    if (auto server = start(former)) return server;
  }
  return start(wanted);
}

PostgresStoreOptions PostgresOptions(const CoordinatorConfig& config, const std::string& admin, std::stop_token stop,
                                     SchedulerMetrics& metrics, Readiness& readiness) {
  PostgresStoreOptions options;
  options.address = config.store;
  options.holder = admin + " pid " + std::to_string(getpid());
  options.stop = std::move(stop);
  options.stands_by = [admin, &readiness](const std::string& leader) {
    readiness.StandBy();
    LogInfo("coordinator.stands_by", {{"leader", leader}, {"admin", "http://" + admin + "/"}});
  };
  options.reconnected = [&metrics] { metrics.store_reconnects.Increment(); };
  return options;
}

/// Keeps the status page's view of the runs fresh until it is stopped.
std::jthread KeepPageFresh(Scheduler& scheduler, AdminState& admin_state) {
  return std::jthread([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const auto page =
          Await<Result<RunPage>>([&](Then<Result<RunPage>> then) { scheduler.List(0, kPageRuns, std::move(then)); });
      if (page) admin_state.SetRuns(RunsAsJson(page->runs));
      std::this_thread::sleep_for(kPageInterval);
    }
  });
}

/// Everything that serves, in the order in which it is made; it ends in the opposite one.
class CoordinatorProcess {
 public:
  explicit CoordinatorProcess(const CoordinatorConfig& config)
      : config_(config), former_(ReadAddressFile(config.address_file)) {}

  Result<int> Run() {
    loop_.OnSignals({SIGTERM, SIGINT, SIGUSR2}, [this](int number) { ending_.OnSignal(number); });
    loop_.OnSignals({SIGHUP, SIGUSR1}, [this](int number) { StayOn(number); });
    registry_->MakeGauge("ferment_build_info", "1; what was built.", {{"version", FERMENT_VERSION}}).Set(1);
    FERMENT_RETURN_IF_ERROR(OpenSecurity());
    loop_.RunEvery(kLookInterval, [this] { readiness_.Look(); });
    auto store = OpenStore();
    if (!store && store.error().code() == StatusCode::kCancelled) return ending_.Wait();
    if (!store) return Fail(store.error());
    FERMENT_RETURN_IF_ERROR(ServeGrpc(std::move(*store)));
    std::jthread page = KeepPageFresh(*scheduler_, admin_state_);
    FERMENT_RETURN_IF_ERROR(Announce());
    int code = ending_.Wait();
    Drain(code);
    if (const Status closed = trail_->Close(); !closed.ok() && code == exit_code::kTerminated) {
      code = ProcessExitCode(closed);
    }
    page.request_stop();
    page.join();
    scheduler_->Stop();
    loop_.Stop();
    return code;
  }

 private:
  /// USR1 is for trainers; here it must only not end the process.
  void StayOn(int number) {
    if (number != SIGHUP) return;
    if (rotates_ != nullptr) rotates_->Rotate();
    if (const auto paths = rpc::ResolveCredentials(config_.tls)) rpc::ReloadCredentials(*paths, config_.tokens);
  }

  Status OpenSecurity() {
    FERMENT_ASSIGN_OR_RETURN(policy_, rpc::AccessPolicy::Read(kServices));
    if (ServesReflection(config_)) policy_.AllowReflection();
    std::unique_ptr<io::AuditLog> audit;
    if (!config_.audit_file.empty()) {
      FERMENT_ASSIGN_OR_RETURN(audit, io::AuditLog::Open(config_.audit_file, SystemClock()));
      const io::AuditSummary summary = audit->summary();
      LogInfo("audit.open", {{"file", config_.audit_file.string()}, {"lines", summary.lines}, {"head", summary.head}});
    }
    trail_ = std::make_unique<CallTrail>(policy_, *registry_, std::move(audit), [this](const Status& failure) {
      LogError("audit.failed", {{"error", failure.message()}, {"next", "the coordinator ends"}});
      ending_.Because(ProcessExitCode(failure));
    });
    // And at once, for a HUP that came while it opened.
    loop_.Post([this] { (rotates_ = trail_.get())->Rotate(); });
    FERMENT_ASSIGN_OR_RETURN(const auto tls, rpc::ResolveCredentials(config_.tls));
    if (tls.UseTls()) {
      FERMENT_ASSIGN_OR_RETURN(security_, rpc::ServerSecurity::Open(tls, config_.tokens, SystemClock()));
    } else if (config_.insecure) {
      LogWarning("coordinator.insecure", {{"listen", config_.listen},
                                          {"means", "whoever reaches this port may do everything"},
                                          {"instead", "--tls-dir DIR; ferment dev-certs DIR makes one"}});
    }
    return {};
  }

  /// Returns: the admin server's address.
  Result<std::string> ServeAdmin() {
    FERMENT_ASSIGN_OR_RETURN(
        admin_, StartWhereItWas(config_.admin, former_.admin,
                                [this](const std::string& listen) -> Result<std::unique_ptr<event::AdminServer>> {
                                  FERMENT_ASSIGN_OR_RETURN(const auto parsed, rpc::ParseListenAddress(listen));
                                  FERMENT_RETURN_IF_ERROR(rpc::RefuseOpenAddress(parsed, config_.insecure));
                                  return event::AdminServer::Start(
                                      loop_, {parsed.host, parsed.port},
                                      AdminRoutes(admin_state_, *registry_, process_metrics_));
                                }));
    return admin_->address();
  }

  /// Where coordinators share a store the admin server serves while this one stands by, else a store that cannot be
  /// opened is told first. Errors: Cancelled where it was asked to leave while it stood by.
  Result<std::unique_ptr<EventStore>> OpenStore() {
    if (StoreIsShared(config_)) {
      // One that stands by answers probes, and opens no gRPC port: whoever tries the addresses in turn finds the
      // leader.
      FERMENT_ASSIGN_OR_RETURN(const std::string admin, ServeAdmin());
      PostgresStoreOptions options = PostgresOptions(config_, admin, ending_.leaving(), metrics_, readiness_);
      options.watch = &store_watch_;
      return OpenPostgresEventStore(std::move(options));
    }
    FERMENT_ASSIGN_OR_RETURN(const std::filesystem::path store_file, StoreFile(config_));
    FERMENT_ASSIGN_OR_RETURN(auto store, OpenSqliteEventStore(store_file, config_.store_on_network));
    store_watch_.Heard();
    store_watch_.SetPlace(config_.store);
    if (const auto admin = ServeAdmin(); !admin) return Fail(admin.error());
    return store;
  }

  /// The address is part of every launch, so the server takes its port first; requests that come before the
  /// scheduler's Start wait in its queue.
  Status ServeGrpc(std::unique_ptr<EventStore> store) {
    LogInfo("store.open", {{"store", store_watch_.place()}, {"term", store->term()}});
    metrics_.term.Set(static_cast<double>(store->term()));
    scheduler_ = std::make_unique<Scheduler>(
        Scheduler::Parts{std::move(store), *launcher_, *run_files_, SystemClock(), metrics_,
                         [this](const RunSpec& spec, const coordinator::Run& run, const Job& job) {
                           return MakeLaunchPlanner(config_, address_)(spec, run, job);
                         },
                         [this](const Status& failure) { ending_.Because(ProcessExitCode(failure)); }},
        SchedulerConfig{
            .queue_limit = static_cast<std::size_t>(config_.limits.waiting),
            .cool_down = config_.cool_down,
            .retention = {.runs = static_cast<std::size_t>(config_.keep_runs), .least = rpc::kOutagePatience}});
    const rpc::Authenticator* authenticator = security_ ? &security_->authenticator : nullptr;
    runs_ = std::make_unique<RunServiceImpl>(*scheduler_, door_, authenticator, config_.limits.streams);
    leases_ = std::make_unique<LeaseServiceImpl>(*scheduler_, door_, authenticator);
    trainers_ = std::make_unique<TrainerServiceImpl>(*scheduler_, door_, authenticator);
    const std::array<grpc::Service*, 3> services = {runs_.get(), leases_.get(), trainers_.get()};
    const rpc::ConnectionLimits connections = GrantConnections(config_.limits);
    FERMENT_ASSIGN_OR_RETURN(server_, StartWhereItWas(config_.listen, former_.grpc, [&](const std::string& listen) {
                               return rpc::GrpcServer::Start(
                                   {.listen = listen,
                                    .insecure = config_.insecure,
                                    .connections = connections,
                                    .on_connections = [this](const auto& counts) { trail_->Take(counts); },
                                    .security = security_.get(),
                                    .policy = &policy_,
                                    .on_call = [this](const rpc::CallRecord& record) { trail_->Take(record); },
                                    .reflection = ServesReflection(config_)},
                                   services);
                             }));
    address_ = server_->address();
    return scheduler_->Start();
  }

  Status Announce() {
    if (!config_.address_file.empty()) {
      FERMENT_RETURN_IF_ERROR(WriteAddressFile(config_.address_file, {address_, admin_->address()}));
    }
    readiness_.Begin([this](bool serves) { server_->SetServing(serves); });
    LogInfo("coordinator.serving",
            {{"grpc", address_}, {"admin", "http://" + admin_->address() + "/"}, {"tls", security_ != nullptr}});
    return {};
  }

  void Drain(int code) {
    LogInfo("coordinator.draining", {{"exit_code", code}});
    readiness_.End();
    if (code == exit_code::kTerminated) scheduler_->Drain(config_.drain);
    runs_->EndStreams();
    server_->Shutdown(kShutdownGrace);
  }

  const CoordinatorConfig config_;
  const ServedAddresses former_;
  Ending ending_;
  AdminState admin_state_;
  const std::unique_ptr<metrics::MetricRegistry> registry_ = metrics::MakePrometheusRegistry();
  SchedulerMetrics metrics_{*registry_};
  metrics::ProcessMetrics process_metrics_{*registry_};
  StoreWatch store_watch_;
  Readiness readiness_{admin_state_, *registry_, metrics_, store_watch_};
  const std::unique_ptr<Launcher> launcher_ = MakeLauncherChoice(MakeLocalLauncher(), MakeSlurmLauncher(SystemClock()));
  const std::unique_ptr<RunFiles> run_files_ = MakeLocalRunFiles(config_.label_store);
  rpc::AccessPolicy policy_;
  std::unique_ptr<CallTrail> trail_;
  /// Its trail, once there is one: the loop's alone.
  CallTrail* rotates_ = nullptr;
  std::unique_ptr<rpc::ServerSecurity> security_;
  event::EventLoop loop_;
  std::unique_ptr<event::AdminServer> admin_;
  std::string address_;
  RequestDoor door_{metrics_.rejected_bytes};
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<RunServiceImpl> runs_;
  std::unique_ptr<LeaseServiceImpl> leases_;
  std::unique_ptr<TrainerServiceImpl> trainers_;
  std::unique_ptr<rpc::GrpcServer> server_;
};

}  // namespace

Result<int> RunCoordinator(const CoordinatorConfig& config) {
  FERMENT_RETURN_IF_ERROR(Check(config));
  return CoordinatorProcess(config).Run();
}

}  // namespace ferment::coordinator
