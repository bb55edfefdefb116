// SPDX-License-Identifier: Apache-2.0
#include "common/base/check.h"
#include "common/dataset/faces/face_list.h"
#include "tests/fuzz/fuzz_file.h"

// Any bytes as the list of every format that has one: rows that add up, or damage.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment;
  v1::FerSpec source;
  source.set_path(FolderWith("list.csv", data, size).string());
  source.set_train("list.csv");
  const dataset::ClassMap classes(dataset::kExpressionNames, dataset::ContemptRule::kDrop);
  for (const char* format : {"folder", "affectnet2017", "expw", "rafdb", "ferplus"}) {
    source.set_format(format);
    const auto list = dataset::LoadFaceSource(source, classes, dataset::FaceSplit::kTrain);
    if (!list) {
      FERMENT_CHECK(list.error().code() == StatusCode::kDataLoss) << format << ": " << list.error().message();
      continue;
    }
    std::uint64_t dropped = 0;
    for (const auto& [reason, count] : list->dropped) dropped += count;
    FERMENT_CHECK(list->rows == list->faces.size() + dropped) << format;
  }
  return 0;
}
