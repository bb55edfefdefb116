// SPDX-License-Identifier: Apache-2.0
//
// What `ferment doctor` looks at on the other hosts of a job, through the ssh that mpirun starts its daemons by.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cli/doctor/doctor_finding.h"
#include "common/base/result.h"

namespace ferment::cli {

/// Returns: the hosts of "a,b:4", as mpirun's --host takes them, each once, in order. Errors: InvalidArgument (exit
/// code 2) for an empty name or slots that are no number.
Result<std::vector<std::string>> ParseHosts(std::string_view list);

/// Returns: the hosts of a file of lines "HOST slots=N", # a comment. Errors: NotFound; InvalidArgument (exit code 2)
/// with file and line.
Result<std::vector<std::string>> ReadHostFile(const std::filesystem::path& file);

/// What a host said of itself, beside what this machine knows.
struct HostAnswer {
  /// SHA-256 of its ferment-trainer; else what sha256sum said.
  std::string trainer;
  /// Names of libraries that its loader does not find, each with a space behind.
  std::string missing;
  /// "NAME SIZE," of LibTorch's and of ferment's for NCCL, as the loader finds them.
  std::string libraries;
  /// First line of `mpirun --version`.
  std::string mpirun;
  /// Its clock less this one's, and how far from that the truth may be, since the way there and back takes time.
  std::chrono::duration<double> skew{0};
  std::chrono::duration<double> uncertainty{0};
};

/// Returns: the answer in `text`, which was asked for and had come at these times of this machine's clock. Errors:
/// DataLoss where it is not whole.
Result<HostAnswer> ReadHostAnswer(const std::string& text, std::chrono::duration<double> asked,
                                  std::chrono::duration<double> came);

/// Resolves each host and this one, and asks each over ssh, all at once, at most `patience`; never asks for a password.
/// `trainer`: the program here, which must be the same there. The program in OMPI_MCA_plm_rsh_agent stands for ssh, as
/// for mpirun.
Findings CheckHosts(const std::vector<std::string>& hosts, const std::filesystem::path& trainer,
                    std::chrono::milliseconds patience);

}  // namespace ferment::cli
