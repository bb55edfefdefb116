// SPDX-License-Identifier: Apache-2.0
//
// Everything that can be set about a coordinator process, read once in main.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "common/base/result.h"
#include "common/rpc/credentials/credential_paths.h"
#include "common/rpc/listen_address.h"
#include "coordinator/core/lease_policy.h"

namespace ferment::coordinator {

/// What the whole number of a flag may be, for the command line and for Check.
struct FlagRange {
  int least;
  int most;
};
inline constexpr FlagRange kConnectionsRange{8, 100'000};
/// At most as many as connections, too.
inline constexpr FlagRange kConnectionsPerPeerRange{1, kConnectionsRange.most};
inline constexpr FlagRange kStreamsRange{1, 896};
inline constexpr FlagRange kWaitingRange{64, 1'000'000};
inline constexpr FlagRange kKeepRunsRange{0, 1'000'000};
/// Seconds, 10 min at most: the platform's own grace ends before.
inline constexpr FlagRange kDrainRange{0, 600};
/// Failures; 0: never.
inline constexpr FlagRange kCoolDownAfterRange{0, 1000};
/// Seconds of the first and of the longest, which is not below it: whoever is silent for that long is forgotten.
inline constexpr FlagRange kCoolDownRange{1, 3600};

/// What slow and hostile clients may take; docs/security.md says what happens past each.
struct CoordinatorLimits {
  /// gRPC connections: a labeler, a trainer and a follower have one each. Fewer where the system grants
  /// fewer open files.
  int connections = 2048;
  /// Of one IP address; half of them, so that one machine does not shut all others out.
  int connections_per_peer = 1024;
  /// Runs and logs being followed: each holds what its reader has not taken.
  int streams = 512;
  /// Requests that wait for the scheduler; with these it needs about a second.
  int waiting = 4096;
};

struct CoordinatorConfig {
  /// sqlite:FILE, of one process; or postgresql://USER@HOST/DATABASE, that several coordinators share: one leads.
  std::string store = "sqlite:ferment.db";
  /// A SQLite store may lie on a network file system; whoever says so sees to it that one machine alone opens it.
  bool store_on_network = false;
  /// Where gRPC is served; port 0 takes any free one. Loopback by default, since TLS needs certificates.
  std::string listen = rpc::kDefaultGrpcAddress;
  /// HOST:PORT that trainers are told to call, such as a name that follows the leader; empty: where gRPC is served.
  std::string advertise;
  /// Where metrics, probes and the status page are served; not one of Prometheus' own ports.
  std::string admin = rpc::kDefaultAdminAddress;
  /// Written once serving, as {"grpc", "admin", "pid"}; a restart on port 0 takes the ports in it again where they are
  /// free, so that trainers and labelers find it. Empty: none.
  std::filesystem::path address_file;
  /// s3://BUCKET/PREFIX of the label sets of new runs; empty: in the run's folder.
  std::string label_store;
  std::filesystem::path trainer = "ferment-trainer";
  std::filesystem::path mpirun = "mpirun";
  /// How long TERM waits for checkpoints.
  std::chrono::seconds drain{50};
  CoolDownRule cool_down;
  /// Runs that have ended and are remembered.
  int keep_runs = 500;
  /// Serve other machines without TLS; with TLS it concerns the admin port alone.
  bool insecure = false;
  /// Tell clients over gRPC what can be called: on, off, or auto: on without TLS.
  std::string reflection = "auto";
  /// The certificate, its key, and the authorities of those who call; empty: no TLS.
  rpc::CredentialFlags tls;
  /// Lines `name role sha256hex [expiry]` of people who come with a token in place of a certificate; empty: none.
  std::filesystem::path tokens;
  CoordinatorLimits limits;
  /// What trainers that are launched here show, as FERMENT_TLS_DIR; required with TLS.
  std::filesystem::path trainer_tls_dir;
  /// Who did what, a sealed line a call; empty: none.
  std::filesystem::path audit_file;
};

/// Returns: whether --store names a PostgreSQL database.
bool StoreIsShared(const CoordinatorConfig& config);

/// Returns: what `reflection` comes to.
bool ServesReflection(const CoordinatorConfig& config);

/// Returns: the file of --store. Errors: InvalidArgument with exit code 2.
Result<std::filesystem::path> StoreFile(const CoordinatorConfig& config);

/// Errors: InvalidArgument with exit code 2, naming the flag, its value and what it may be.
Status Check(const CoordinatorConfig& config);

/// Returns: one `flag = value` line each.
std::string Describe(const CoordinatorConfig& config);

struct ServedAddresses {
  std::string grpc;
  std::string admin;
};
/// Returns: what a former process wrote; empty strings where there is nothing readable.
ServedAddresses ReadAddressFile(const std::filesystem::path& file);
/// Replaces the file atomically. Errors: those of io::WriteFileAtomically.
Status WriteAddressFile(const std::filesystem::path& file, const ServedAddresses& addresses);

}  // namespace ferment::coordinator
