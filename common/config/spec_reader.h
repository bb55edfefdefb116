// SPDX-License-Identifier: Apache-2.0
//
// Lays one source after another (file, environment, flags) over a RunSpec, and remembers where each value came from.
#pragma once

#include <google/protobuf/message.h>

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "common/config/spec_faults.h"
#include "common/config/spec_loader.h"
#include "common/config/spec_schema.h"
#include "common/config/spec_text.h"

namespace ferment {

/// Call in the order of precedence, lowest first. Faults are collected, and reading goes on.
class SpecReader {
 public:
  /// Requires: both outlive the reader.
  SpecReader(LoadedSpec& loaded, SpecFaults& faults) : loaded_(loaded), faults_(faults) {}

  void ReadText(std::string_view text);
  void ReadEnvironment();
  void ReadOverrides(std::span<const SpecOverride> overrides);
  /// Faults each value without a default that a section present lacks.
  void CheckRequired();

 private:
  using Message = google::protobuf::Message;

  SpecOrigin OriginAt(SpecPlace place) const;
  void Fault(SpecPlace place, const std::string& key, const std::string& what);

  void ReadTree(const SpecTree& tree);
  void ReadSection(Message& message, const SpecNode& node, SpecPlace place, const std::string& key);
  void ReadField(Message& message, const SpecField& field, const SpecNode& node, SpecPlace place,
                 const std::string& key);
  void ReadSectionList(Message& message, const SpecField& field, const SpecNode& node, SpecPlace place,
                       const std::string& key);
  void ReadValueList(Message& message, const SpecField& field, const SpecNode& node, SpecPlace place,
                     const std::string& key);
  void ReadValue(Message& message, const SpecField& field, const SpecNode& node, SpecPlace place,
                 const std::string& key);
  void Clear(Message& message, const SpecField& field, const std::string& key);
  bool FitsList(const SpecField& field, const SpecNode& node, SpecPlace place, const std::string& key);

  void ReadDotted(const std::string& key, const std::string& value);
  void ReadOverrideValue(Message& message, const SpecField& field, const std::string& value, const std::string& key);
  Message* Descend(Message& message, const SpecField& field, std::string_view index, std::string& key);
  void CheckRequiredIn(const Message& message, const std::string& key);

  LoadedSpec& loaded_;
  SpecFaults& faults_;
  // Where each section was first written.
  std::map<std::string, SpecOrigin> sections_;
  // Where everything comes from while a flag or variable is read; null while the file is.
  const SpecOrigin* fixed_origin_ = nullptr;
};

}  // namespace ferment
