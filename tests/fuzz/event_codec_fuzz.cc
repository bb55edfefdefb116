// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "coordinator/store/event_codec.h"

// Any bytes as a row of the log, a snapshot's too: an event that is written and read back as the same one, damage, or a
// word of a newer version.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferment;
  static const google::protobuf::LogSilencer silent;
  const auto event = coordinator::DecodeEvent({reinterpret_cast<const char*>(data), size});
  if (!event) {
    const StatusCode code = event.error().code();
    FERMENT_CHECK(code == StatusCode::kDataLoss || code == StatusCode::kFailedPrecondition) << event.error().message();
    return 0;
  }
  const auto again = coordinator::DecodeEvent(coordinator::EncodeEvent(*event));
  FERMENT_CHECK(again.has_value()) << again.error().message();
  // A NaN, which no figure of ours is, equals nothing.
  const bool comparable = *event == *event;
  FERMENT_CHECK(!comparable || *again == *event) << "kind=" << event->index();
  return 0;
}
