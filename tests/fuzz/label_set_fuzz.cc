// SPDX-License-Identifier: Apache-2.0
#include "common/base/check.h"
#include "common/dataset/labels/label_set.h"
#include "common/io/formats/npz_file.h"

// Any bytes as an array, an NPZ and a label set: parsed or damaged, and a label set that is accepted can be written.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto array = io::ParseNpy(bytes);
  FERMENT_CHECK(!array || array->data.size() <= 4 * size + 64) << array->data.size();
  FERMENT_CHECK(array || array.error().code() == StatusCode::kDataLoss) << array.error().message();
  const auto arrays = io::ParseNpz(bytes);
  FERMENT_CHECK(arrays || arrays.error().code() == StatusCode::kDataLoss) << arrays.error().message();
  if (const auto labels = dataset::ParseLabelSet(bytes)) FERMENT_CHECK(dataset::LabelSetBytes(*labels).has_value());
  return 0;
}
