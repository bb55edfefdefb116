// SPDX-License-Identifier: Apache-2.0
#include "common/base/check.h"
#include "common/io/formats/torch_file.h"
#include "common/io/formats/torch_pickle.h"

// Any bytes as a torch.save zip, and as the pickle in one: damage, or tensors that can be written again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = io::ParseTorchZip(bytes);
  if (file) {
    const auto again = io::SafetensorsBytes(file->views);
    FERMENT_CHECK(again.has_value()) << again.error().message();
  } else {
    FERMENT_CHECK(file.error().code() == StatusCode::kDataLoss) << file.error().message();
  }
  // A zip's CRC stops nearly every change before the pickle is read; the corpus has bare ones too.
  const auto plan = io::ParseTorchPickle(bytes);
  FERMENT_CHECK(plan || plan.error().code() == StatusCode::kDataLoss) << plan.error().message();
  return 0;
}
