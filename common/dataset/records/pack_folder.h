// SPDX-License-Identifier: Apache-2.0
//
// The folder that a pack lies in, on a disk or in an object store.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/io/byte_source.h"

namespace ferment::dataset {

/// Thread: any.
class PackFolder {
 public:
  virtual ~PackFolder() = default;
  /// Returns: its files' names, sorted. Errors: NotFound; those of the store.
  virtual Result<std::vector<std::string>> Names() const = 0;
  /// Errors: NotFound; those of the store.
  virtual Result<std::unique_ptr<io::ByteSource>> OpenFile(std::string_view name) const = 0;
  /// Returns: the file as messages name it.
  virtual std::string NameOf(std::string_view name) const = 0;
};

/// `path` is a folder or s3://BUCKET/PREFIX. `stop` as io::OpenObjectStore's. Errors: those of io::OpenObjectStore.
Result<std::unique_ptr<PackFolder>> OpenPackFolder(const std::string& path, const std::stop_token& stop = {});

}  // namespace ferment::dataset
