// SPDX-License-Identifier: Apache-2.0
//
// What every format of labelled faces does with a row: map its class, find its picture, keep it or count why not.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/dataset/faces/face_list.h"

namespace ferment::dataset {

/// One row before it is mapped.
struct FaceRow {
  /// Name of the picture as listed.
  std::string path;
  /// Where it may be; the first that exists is taken.
  std::vector<std::filesystem::path> candidates;
  std::optional<Box> box;
};

class FaceCollector {
 public:
  /// Requires: `classes` outlives the collector.
  explicit FaceCollector(const ClassMap& classes) : classes_(classes) {
    list_.per_class.resize(static_cast<std::size_t>(classes.size()));
  }

  /// A row whose class is one of the eight, or kContempt.
  void AddExpression(FaceRow row, int expression);
  /// A row whose class is a name or an index.
  void AddText(FaceRow row, std::string_view class_text);
  /// A row that the format itself leaves out.
  void Drop(std::string_view reason);
  void Note(std::string oddity) { list_.oddities.push_back(std::move(oddity)); }
  FaceList Finish();

 private:
  /// Returns: whether the row has a picture and was kept.
  bool AddLabelled(FaceRow row, int label);

  const ClassMap& classes_;
  FaceList list_;
  std::uint64_t contempt_as_other_ = 0;
};

}  // namespace ferment::dataset
