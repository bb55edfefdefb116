// SPDX-License-Identifier: Apache-2.0
#include "worker/collective/rank_agreement.h"

#include <vector>

namespace ferment::worker {
namespace {

struct Outcome {
  int code = 0;
  int exit_code = 0;
  char message[1016] = {};
};

}  // namespace

Status AgreeOnStatus(Collective& ranks, const Status& mine) {
  if (ranks.size() == 1) return mine;
  Outcome own;
  own.code = static_cast<int>(mine.code());
  own.exit_code = mine.exit_code();
  const std::string_view message = mine.message().substr(0, sizeof(own.message) - 1);
  message.copy(own.message, message.size());
  std::vector<Outcome> all(static_cast<std::size_t>(ranks.size()));
  FERMENT_RETURN_IF_ERROR(ranks.AllGather(std::as_bytes(std::span<const Outcome>(&own, 1)),
                                          std::as_writable_bytes(std::span<Outcome>(all))));
  for (std::size_t r = 0; r < all.size(); ++r) {
    if (all[r].code == 0) continue;
    const Status failure(static_cast<StatusCode>(all[r].code), all[r].message);
    return (all[r].exit_code != 0 ? failure.WithExitCode(all[r].exit_code) : failure).With("rank " + std::to_string(r));
  }
  return Status();
}

Result<bool> BroadcastAnswer(Collective& ranks, bool answer) {
  FERMENT_RETURN_IF_ERROR(ranks.Broadcast(std::as_writable_bytes(std::span<bool>(&answer, 1)), 0));
  return answer;
}

Result<std::string> BroadcastText(Collective& ranks, std::string text) {
  std::uint64_t size = text.size();
  FERMENT_RETURN_IF_ERROR(ranks.Broadcast(std::as_writable_bytes(std::span<std::uint64_t>(&size, 1)), 0));
  text.resize(size);
  FERMENT_RETURN_IF_ERROR(ranks.Broadcast(std::as_writable_bytes(std::span<char>(text)), 0));
  return text;
}

}  // namespace ferment::worker
