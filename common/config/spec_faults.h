// SPDX-License-Identifier: Apache-2.0
//
// Every fault of a spec, collected and told at once.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/spec_loader.h"

namespace ferment {

/// A value; grows as the loader goes over its sources.
class SpecFaults {
 public:
  /// `key` may be empty where the fault is of the text and not of a key.
  void Add(const SpecOrigin& origin, const std::string& key, const std::string& what);
  bool empty() const { return faults_.empty(); }
  /// Whether so many faults are kept that no more are taken; a reader stops then, so that a hostile file costs little.
  bool full() const;
  /// Whether a fault names this key, so that what depends on it is not judged.
  bool Has(const std::string& key) const { return keys_.contains(key); }
  /// Returns: success, or InvalidArgument with exit code 64 and a line a fault: the file's by line, then the others.
  Status ToStatus() const;

 private:
  struct Fault {
    SpecOrigin origin;
    std::string text;
  };
  std::vector<Fault> faults_;
  std::set<std::string> keys_;
};

}  // namespace ferment
