// SPDX-License-Identifier: Apache-2.0
//
// The networks that an earlier job of the run published, checked against the digests in its result.json.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/config/run_layout.h"
#include "worker/train/recipe.h"

namespace ferment::worker {

/// Returns: the last job of co-training that has a result: of cotrain.rounds, or of an earlier round where later ones
/// were left out, since their teacher was stopped. The last round's name where none has.
std::string LastCotrain(const RunLayout& layout, const RunSpec& spec);

/// A network that a job reads.
struct ModelToRead {
  /// What the job calls it.
  std::string name;
  /// Who publishes it, as what.
  std::string job_id;
  std::string role;
};

/// Returns: by name, the digests of those that are published.
JobInputs PublishedOf(const RunLayout& layout, const std::vector<ModelToRead>& models);

/// A value: what result.json of one job names.
class PublishedModels {
 public:
  /// Errors: NotFound saying which job must run first; DataLoss (78) for a damaged one.
  static Result<PublishedModels> Read(const RunLayout& layout, std::string_view job_id);

  /// Returns: sha256 in hex. Errors: NotFound naming job and role.
  Result<std::string> Digest(std::string_view role) const;
  /// Errors: as Digest; DataLoss (78) when the file is not the one that was published.
  Result<NamedTensors> Load(std::string_view role) const;

 private:
  struct Entry {
    std::filesystem::path file;
    std::string sha256;
  };
  Result<Entry> Find(std::string_view role) const;

  std::string job_id_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace ferment::worker
