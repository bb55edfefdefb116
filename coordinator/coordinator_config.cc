// SPDX-License-Identifier: Apache-2.0
#include "coordinator/coordinator_config.h"

#include <unistd.h>

#include "common/base/json_field.h"
#include "common/io/atomic_file.h"
#include "common/io/local_file_system.h"
#include "common/io/object/object_url.h"
#include "common/rpc/listen_address.h"
#include "coordinator/store/postgres_address.h"

namespace ferment::coordinator {
namespace {

constexpr std::string_view kSqlite = "sqlite:";

std::int64_t Seconds(std::chrono::milliseconds time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

Status UsageError(const std::string& text) { return InvalidArgumentError(text).WithExitCode(exit_code::kUsage); }

Status CheckRange(const char* flag, std::int64_t value, const FlagRange& range) {
  if (value >= range.least && value <= range.most) return {};
  return UsageError(std::string(flag) + " must be " + std::to_string(range.least) + " to " +
                    std::to_string(range.most) + ": value=" + std::to_string(value));
}

Status CheckCoolDown(const CoolDownRule& rule) {
  FERMENT_RETURN_IF_ERROR(CheckRange("--cool-down-after", rule.after, kCoolDownAfterRange));
  FERMENT_RETURN_IF_ERROR(CheckRange("--cool-down-longest", Seconds(rule.longest), kCoolDownRange));
  FERMENT_RETURN_IF_ERROR(CheckRange("--cool-down-first", Seconds(rule.first), kCoolDownRange));
  if (rule.first <= rule.longest) return {};
  return UsageError("--cool-down-first must be at most --cool-down-longest (" + std::to_string(Seconds(rule.longest)) +
                    "): value=" + std::to_string(Seconds(rule.first)));
}

Status CheckLimits(const CoordinatorLimits& limits) {
  FERMENT_RETURN_IF_ERROR(CheckRange("--max-connections", limits.connections, kConnectionsRange));
  FERMENT_RETURN_IF_ERROR(CheckRange("--max-connections-per-peer", limits.connections_per_peer,
                                     {kConnectionsPerPeerRange.least, limits.connections}));
  FERMENT_RETURN_IF_ERROR(CheckRange("--max-streams", limits.streams, kStreamsRange));
  return CheckRange("--max-waiting", limits.waiting, kWaitingRange);
}

Status CheckSecurity(const CoordinatorConfig& config) {
  const auto tls = rpc::ResolveCredentials(config.tls);
  if (!tls) return tls.error();
  if (!tls->UseTls() && !config.tokens.empty()) {
    return UsageError("--tokens needs TLS (--tls-dir DIR): tokens never travel in the clear");
  }
  if (tls->UseTls() && config.trainer_tls_dir.empty()) {
    return UsageError("with TLS, --trainer-tls-dir DIR must name the certificate with which trainers come back");
  }
  if (!tls->UseTls() && !config.trainer_tls_dir.empty()) return UsageError("--trainer-tls-dir needs --tls-dir DIR");
  if (config.trainer_tls_dir.empty()) return {};
  FERMENT_ASSIGN_OR_RETURN(const auto trainer, rpc::ResolveCredentials({.tls_dir = config.trainer_tls_dir}));
  return rpc::CheckCredentials(trainer).With("--trainer-tls-dir");
}

/// Returns: --store; not what is refused and may hold a password.
std::string ShownStore(const CoordinatorConfig& config) {
  const bool harmless = config.store.starts_with(kSqlite) || config.store.find_first_of("@?") == std::string::npos;
  const bool shown = StoreIsShared(config) ? CheckPostgresAddress(config.store).ok() : harmless;
  return shown ? config.store : "(not shown, since it is refused)";
}

}  // namespace

bool StoreIsShared(const CoordinatorConfig& config) {
  return config.store.starts_with("postgresql://") || config.store.starts_with("postgres://");
}

bool ServesReflection(const CoordinatorConfig& config) {
  if (config.reflection != "auto") return config.reflection == "on";
  const auto tls = rpc::ResolveCredentials(config.tls);
  return tls && !tls->UseTls();
}

Result<std::filesystem::path> StoreFile(const CoordinatorConfig& config) {
  const std::string& store = config.store;
  if (!store.starts_with(kSqlite) || store.size() == kSqlite.size()) {
    return Fail(InvalidArgumentError("--store must be sqlite:FILE or postgresql://USER@HOST/DATABASE: store=" +
                                     ShownStore(config))
                    .WithExitCode(exit_code::kUsage));
  }
  return std::filesystem::path(store.substr(kSqlite.size()));
}

Status Check(const CoordinatorConfig& config) {
  if (StoreIsShared(config)) {
    FERMENT_RETURN_IF_ERROR(CheckPostgresAddress(config.store));
  } else if (const auto file = StoreFile(config); !file) {
    return file.error();
  }
  if (const auto listen = rpc::ParseListenAddress(config.listen); !listen) return listen.error().With("--listen");
  if (const auto admin = rpc::ParseListenAddress(config.admin); !admin) return admin.error().With("--admin");
  if (!config.advertise.empty()) {
    const auto told = rpc::ParseListenAddress(config.advertise);
    if (!told) return told.error().With("--advertise");
    if (told->port == 0) return UsageError("--advertise needs a port: advertise=" + config.advertise);
  }
  FERMENT_RETURN_IF_ERROR(CheckLimits(config.limits));
  FERMENT_RETURN_IF_ERROR(CheckRange("--drain", config.drain.count(), kDrainRange));
  FERMENT_RETURN_IF_ERROR(CheckCoolDown(config.cool_down));
  FERMENT_RETURN_IF_ERROR(CheckRange("--keep-runs", config.keep_runs, kKeepRunsRange));
  if (!config.label_store.empty()) {
    const auto place = io::ParseObjectUrl(config.label_store);
    if (!place) return place.error().With("--label-store").WithExitCode(exit_code::kUsage);
  }
  return CheckSecurity(config);
}

std::string Describe(const CoordinatorConfig& config) {
  return "store = " + ShownStore(config) + "\nlisten = " + config.listen + "\nadvertise = " + config.advertise +
         "\nadmin = " + config.admin + "\naddress-file = " + config.address_file.string() +
         "\nlabel-store = " + config.label_store + "\ntrainer = " + config.trainer.string() +
         "\nmpirun = " + config.mpirun.string() + "\ndrain = " + std::to_string(config.drain.count()) +
         " s\ncool-down-after = " + std::to_string(config.cool_down.after) +
         "\ncool-down-first = " + std::to_string(Seconds(config.cool_down.first)) +
         " s\ncool-down-longest = " + std::to_string(Seconds(config.cool_down.longest)) +
         " s\nkeep-runs = " + std::to_string(config.keep_runs) +
         "\nreflection = " + (ServesReflection(config) ? "on" : "off") +
         "\nstore-on-network = " + (config.store_on_network ? "true" : "false") +
         "\ninsecure = " + (config.insecure ? "true" : "false") + "\ntls-dir = " + config.tls.tls_dir +
         "\ntls-cert = " + config.tls.tls_cert + "\ntls-key = " + config.tls.tls_key +
         "\ntls-ca = " + config.tls.tls_ca + "\ntls-crl = " + config.tls.tls_crl +
         "\ntokens = " + config.tokens.string() + "\ntrainer-tls-dir = " + config.trainer_tls_dir.string() +
         "\naudit-file = " + config.audit_file.string() +
         "\nmax-connections = " + std::to_string(config.limits.connections) +
         "\nmax-connections-per-peer = " + std::to_string(config.limits.connections_per_peer) +
         "\nmax-streams = " + std::to_string(config.limits.streams) +
         "\nmax-waiting = " + std::to_string(config.limits.waiting) + "\n";
}

ServedAddresses ReadAddressFile(const std::filesystem::path& file) {
  const auto text = io::ReadTextFile(file);
  const auto object = ParseJson(text.value_or(""));
  if (!object) return {};
  return {TextOr(Field(*object, "grpc"), ""), TextOr(Field(*object, "admin"), "")};
}

Status WriteAddressFile(const std::filesystem::path& file, const ServedAddresses& addresses) {
  Json object;
  object["grpc"] = addresses.grpc;
  object["admin"] = addresses.admin;
  object["pid"] = getpid();
  return io::WriteFileAtomically(file, object.dump() + "\n");
}

}  // namespace ferment::coordinator
