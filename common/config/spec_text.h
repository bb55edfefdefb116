// SPDX-License-Identifier: Apache-2.0
//
// YAML text as a tree with a place for every key and value; the one file pair that knows yaml-cpp.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ferment {

/// Counted from 1.
struct SpecPlace {
  int line = 1;
  int column = 1;
};

struct SpecNode;

/// An entry of a map, or of a list with an empty key.
struct SpecChild {
  std::string key;
  SpecPlace key_place;
  SpecPlace place;
  std::shared_ptr<const SpecNode> node;
};

/// A value; shared where the text uses an alias, so the tree is no larger than the text. Duplicate keys are kept.
struct SpecNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  /// The text of a scalar, and whether it stood in quotes (or was tagged !!str).
  std::string text;
  bool quoted = false;
  std::vector<SpecChild> children;
};

struct SpecTextFault {
  SpecPlace place;
  std::string what;
};

struct SpecTree {
  /// Never null; a null node where the text is empty or unreadable.
  std::shared_ptr<const SpecNode> root;
  SpecPlace place;
  std::vector<SpecTextFault> faults;
};

/// The longest text that is read.
inline constexpr std::size_t kMaxSpecBytes = 1U << 20U;
/// The deepest nesting that is read.
inline constexpr std::size_t kMaxSpecDepth = 32;

/// Reads one YAML document. Faults: not UTF-8, control characters, too long, too deep, bad syntax, a second document, a
/// key that is no word, an alias inside its own anchor.
SpecTree ParseSpecText(std::string_view text);

}  // namespace ferment
