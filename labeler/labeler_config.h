// SPDX-License-Identifier: Apache-2.0
//
// What a labeler is started with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "common/rpc/credentials/credential_paths.h"
#include "labeler/predict.h"

namespace ferment::labeler {

struct LabelerConfig {
  /// HOST:PORT of the coordinator; empty in the other modes.
  std::string coordinator;
  /// What it shows to the coordinator; empty: a coordinator without TLS.
  rpc::CredentialFlags credentials;
  /// Shown on the status page, and what a labeler's failures are kept under, so that one which is started again needs a
  /// name that stays; empty: host and process id.
  std::string name;
  /// The machine, of which several labelers may be; empty: as the system calls it.
  std::string host;
  /// Batches in work at a time, each decoded and annotated on a thread of its own; 0: all cores.
  int threads = 0;
  /// auto, cpu or cuda.
  std::string device = "auto";
  /// Which GPU, counted round over those that this process may use.
  int gpu = 0;
  /// Leave once no run has work for labelers, now or later.
  bool exit_when_idle = false;
  /// Label without a coordinator.
  bool offline = false;
  std::filesystem::path run_dir;
  std::string job = "label";
  /// s3://BUCKET/PREFIX; empty: the run's folder. With a coordinator that one decides.
  std::string label_store;
  /// Classify `prediction.paths` and leave.
  bool predict = false;
  PredictOptions prediction;
  /// Label this record of `run_dir` again, compare and leave.
  std::optional<std::uint64_t> replay;
};

/// Returns: one `flag = value` line each of what a labeler at work goes by; of secrets the paths.
std::string Describe(const LabelerConfig& config);

/// Returns: success where the modes and their options fit together. Errors: InvalidArgument (exit 2).
Status Check(const LabelerConfig& config);

}  // namespace ferment::labeler
