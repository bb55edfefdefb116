// SPDX-License-Identifier: Apache-2.0
#include "labeler/lease_keeper.h"

#include <algorithm>
#include <utility>

#include "common/base/logging.h"

namespace ferment::labeler {

LeaseKeeper::LeaseKeeper(LeaseClient& client, const Lease& lease, std::stop_token ending)
    : client_(client),
      key_(lease.key),
      lease_time_(lease.duration),
      pass_on_(std::move(ending), [this] { work_.request_stop(); }),
      thread_([this](std::stop_token stop) { Renew(std::move(stop)); }) {}

void LeaseKeeper::Renew(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const auto pause = std::max(lease_time_ / 3, std::chrono::milliseconds(1));
    if (wake_.wait_for(lock, stop, pause, [&] { return stop.stop_requested(); })) return;
    const auto renewed = client_.Renew(key_, done_);
    if (renewed) {
      lease_time_ = *renewed;
    } else if (renewed.error().code() == StatusCode::kAborted || renewed.error().code() == StatusCode::kNotFound) {
      LogWarning("lease_lost", {{"job", key_.job_id}, {"shard", key_.shard}, {"why", renewed.error().message()}});
      lost_ = true;
      work_.request_stop();
      return;
    } else {
      LogWarning("lease_not_renewed",
                 {{"shard", key_.shard}, {"why", renewed.error().message()}, {"next", "work goes on"}});
    }
  }
}

}  // namespace ferment::labeler
