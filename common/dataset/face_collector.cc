// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/face_collector.h"

#include <system_error>
#include <utility>

#include "common/dataset/text_lines.h"

namespace ferment::dataset {

void FaceCollector::AddExpression(FaceRow row, int expression) {
  const auto label = classes_.FromExpression(expression);
  if (!label) return Drop("class-not-in-run: " + std::string(kExpressionNames[static_cast<std::size_t>(expression)]));
  AddLabelled(std::move(row), *label);
}

void FaceCollector::AddText(FaceRow row, std::string_view class_text) {
  const auto label = classes_.FromText(class_text);
  if (!label && !classes_.Knows(class_text)) return Drop("class-unknown: " + std::string(class_text));
  if (!label) {
    const auto index = ParseInteger(class_text);
    return Drop("class-not-in-run: " +
                std::string(index ? kExpressionNames[static_cast<std::size_t>(*index)] : class_text));
  }
  AddLabelled(std::move(row), *label);
}

void FaceCollector::Drop(std::string_view reason) {
  ++list_.rows;
  ++list_.dropped[std::string(reason)];
}

void FaceCollector::AddLabelled(FaceRow row, int label) {
  std::error_code error;
  for (std::filesystem::path& file : row.candidates) {
    if (!std::filesystem::is_regular_file(file, error)) continue;
    ++list_.rows;
    ++list_.per_class[static_cast<std::size_t>(label)];
    list_.faces.push_back({std::move(file), std::move(row.path), label, row.box});
    return;
  }
  Drop("image-missing");
}

}  // namespace ferment::dataset
