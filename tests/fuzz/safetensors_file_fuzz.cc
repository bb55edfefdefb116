// SPDX-License-Identifier: Apache-2.0
#include "common/base/check.h"
#include "common/io/formats/safetensors_file.h"
#include "tests/fuzz/fuzz_file.h"

// Any bytes as a safetensors file: damage, or tensors whose data lie in the file and can be written again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment;
  const auto file = io::SafetensorsFile::Open(FolderWith("x.safetensors", data, size) / "x.safetensors");
  if (!file) {
    FERMENT_CHECK(file.error().code() == StatusCode::kDataLoss) << file.error().message();
    return 0;
  }
  std::size_t total = 0;
  for (const auto& [name, tensor] : file->tensors()) total += tensor.data.size();
  FERMENT_CHECK(total <= size) << total;
  const auto again = io::SafetensorsBytes(file->tensors(), file->metadata());
  FERMENT_CHECK(again.has_value()) << again.error().message();
  return 0;
}
