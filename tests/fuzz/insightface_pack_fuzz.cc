// SPDX-License-Identifier: Apache-2.0
#include "common/base/check.h"
#include "common/dataset/records/insightface_source.h"
#include "tests/fuzz/fuzz_file.h"

// Any bytes as a .rec without an index: the rebuild ends, and every record is read or damaged, keys rising.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment;
  const auto pack = dataset::OpenInsightfacePack(FolderWith("train.rec", data, size));
  if (!pack) {
    FERMENT_CHECK(pack.error().code() == StatusCode::kDataLoss) << pack.error().message();
    return 0;
  }
  for (std::uint64_t i = 0; i < (*pack)->size(); ++i) {
    FERMENT_CHECK(i == 0 || (*pack)->KeyAt(i - 1) < (*pack)->KeyAt(i)) << i;
    const auto record = (*pack)->Read(i);
    FERMENT_CHECK(record || record.error().code() == StatusCode::kDataLoss) << i;
    FERMENT_CHECK(!record || record->image.size() <= size) << i;
  }
  return 0;
}
