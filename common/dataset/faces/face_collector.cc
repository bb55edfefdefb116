// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/faces/face_collector.h"

#include <system_error>
#include <utility>

#include "common/dataset/text_lines.h"

namespace ferment::dataset {

void FaceCollector::AddExpression(FaceRow row, int expression) {
  const bool contempt = expression == kContempt;
  if (const auto label = classes_.FromExpression(expression)) {
    if (AddLabelled(std::move(row), *label) && contempt) ++contempt_as_other_;
  } else if (contempt && classes_.contempt() == ContemptRule::kDrop) {
    Drop("contempt-dropped");
  } else {
    Drop("class-not-in-run: " +
         std::string(kExpressionNames[static_cast<std::size_t>(contempt ? kOther : expression)]));
  }
}

void FaceCollector::AddText(FaceRow row, std::string_view class_text) {
  if (const auto expression = ExpressionFromName(class_text)) return AddExpression(std::move(row), *expression);
  if (const auto label = classes_.FromText(class_text)) {
    AddLabelled(std::move(row), *label);
  } else if (classes_.Knows(class_text)) {
    AddExpression(std::move(row), *ParseInteger(class_text));
  } else {
    Drop("class-unknown: " + std::string(class_text));
  }
}

void FaceCollector::Drop(std::string_view reason) {
  ++list_.rows;
  ++list_.dropped[std::string(reason)];
}

FaceList FaceCollector::Finish() {
  if (contempt_as_other_ > 0)
    Note(std::to_string(contempt_as_other_) +
         " faces of contempt are rows of Other (data.contempt: drop leaves them out)");
  return std::move(list_);
}

bool FaceCollector::AddLabelled(FaceRow row, int label) {
  std::error_code error;
  for (std::filesystem::path& file : row.candidates) {
    if (!std::filesystem::is_regular_file(file, error)) continue;
    ++list_.rows;
    ++list_.per_class[static_cast<std::size_t>(label)];
    list_.faces.push_back({std::move(file), std::move(row.path), label, row.box});
    return true;
  }
  Drop("image-missing");
  return false;
}

}  // namespace ferment::dataset
