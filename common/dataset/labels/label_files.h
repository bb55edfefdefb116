// SPDX-License-Identifier: Apache-2.0
//
// Where the files of a folder of label sets are: in the folder, or in the object store that its run names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/dataset/labels/label_index.h"
#include "common/dataset/labels/label_set.h"
#include "common/io/object/object_url.h"

namespace ferment::dataset {

/// More than a label set has, or all its members unpacked: one of 2^20 records and eight classes has 28 MiB.
inline constexpr std::uint64_t kMostLabelSetBytes = std::uint64_t{64} << 20;
/// More than an index of 2^20 shards has, the most of a job.
inline constexpr std::uint64_t kMostIndexBytes = std::uint64_t{256} << 20;

/// Thread: any.
class LabelFiles {
 public:
  virtual ~LabelFiles() = default;
  /// Errors: NotFound; DataLoss for a file of more than `most_bytes`, of which nothing is read; those of the disk or
  /// the store.
  virtual Result<std::vector<std::byte>> Read(const std::string& name, std::uint64_t most_bytes) = 0;
  /// Returns: bytes of the file. Errors: as Read.
  virtual Result<std::uint64_t> Size(const std::string& name) = 0;
  /// Writes a file whose name says its contents; again is success. Durable afterwards. Errors: those of the disk or the
  /// store; AlreadyExists where the store has other contents under this name.
  virtual Status WriteOnce(const std::string& name, std::span<const std::byte> bytes) = 0;
  /// Returns: the files' names, sorted. Errors: as Read.
  virtual Result<std::vector<std::string>> Names() = 0;
  /// Returns: the file as messages name it.
  virtual std::string NameOf(const std::string& name) const = 0;
};

/// `folder` is RUN/labels/<dataset>/<teacher>/<label config>; `stop` as io::OpenObjectStore's. Errors: those of
/// LabelUrlOf and io::OpenObjectStore.
Result<std::unique_ptr<LabelFiles>> OpenLabelFiles(const std::filesystem::path& folder,
                                                   const std::stop_token& stop = {});

/// Finds out before anything is labelled whether label sets can be written to `folder`; what is in a store is not
/// tried. Errors: those of LabelUrlOf and io::TryToWriteIn.
Status TryToWriteLabels(const std::filesystem::path& folder);

/// As the functions of a folder (label_set.h, label_index.h), for those who read several files.
Result<LabelIndex> ReadLabelIndex(LabelFiles& place);
Result<LabelSet> ReadLabelSet(LabelFiles& place, const LabelFile& expected);

/// Returns: the folder in the store that `folder` stands for, if RUN/labels/store.json names one. Errors: DataLoss
/// where that file is damaged.
Result<std::optional<io::ObjectUrl>> LabelUrlOf(const std::filesystem::path& folder);

/// Has the label sets of a run that has none yet written to `store`/<run's name>/ from now on; does nothing for a run
/// that has some, wherever they are. Tries the store first: one that ignores conditions is no place for an index.
/// `stop` as io::OpenObjectStore's. Errors: InvalidArgument (64) for another text than s3://BUCKET/PREFIX;
/// FailedPrecondition (69) for such a store; those of the store and of writing store.json.
Status PlaceLabels(const std::filesystem::path& run_dir, const std::string& run_name, const std::string& store,
                   const std::stop_token& stop = {});

}  // namespace ferment::dataset
