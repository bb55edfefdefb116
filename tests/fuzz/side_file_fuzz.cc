// SPDX-License-Identifier: Apache-2.0
#include "common/base/check.h"
#include "common/dataset/labels/pseudo_label_quality.h"
#include "common/dataset/records/recordio_index.h"
#include "common/dataset/videos/feature_set.h"
#include "common/io/byte_source.h"
#include "tests/fuzz/fuzz_file.h"

namespace ferment::dataset {
namespace {

constexpr int kClasses = 8;

void CheckIndex(const std::filesystem::path& file) {
  const auto bytes = io::OpenFileBytes(file);
  if (!bytes) return;
  const auto index = ReadIndex(**bytes, "x");
  FERMENT_CHECK(index || index.error().code() == StatusCode::kDataLoss) << index.error().message();
  if (!index) return;
  FERMENT_CHECK(index->entries.size() <= index->lines) << index->lines;
  for (std::size_t i = 1; i < index->entries.size(); ++i)
    FERMENT_CHECK(index->entries[i - 1].key < index->entries[i].key) << i;
}

void CheckTruth(const std::filesystem::path& file) {
  const auto truth = ReadLabelTruth(file, kClasses);
  FERMENT_CHECK(truth || truth.error().code() == StatusCode::kDataLoss) << truth.error().message();
  if (!truth) return;
  for (const auto& [key, label] : *truth) FERMENT_CHECK(label >= -1 && label < kClasses) << key;
}

void CheckFeatures(const std::filesystem::path& file) {
  const auto set = ReadFeatureSet(file);
  FERMENT_CHECK(set || set.error().code() == StatusCode::kDataLoss) << set.error().message();
  if (!set) return;
  FERMENT_CHECK(set->features.size() == set->frame.size() * set->feature_size()) << set->features.size();
  FERMENT_CHECK(set->logits.size() == set->frame.size() * set->classes.size()) << set->logits.size();
}

}  // namespace
}  // namespace ferment::dataset

// Any bytes as what lies beside pictures: a pack's index, the truth of pseudo-labels, the features of a video. Each is
// damaged or fits together.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = ferment::FolderWith("x", data, size) / "x";
  ferment::dataset::CheckIndex(file);
  ferment::dataset::CheckTruth(file);
  ferment::dataset::CheckFeatures(file);
  return 0;
}
