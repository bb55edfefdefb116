// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/patient_call.h"

#include <utility>

#include "common/base/logging.h"

namespace ferment::rpc {

CallOptions PatientCall(std::string coordinator, std::chrono::milliseconds patience, std::stop_token stop) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience).count();
  return {.retry_for = patience,
          .stop = std::move(stop),
          .on_wait = [coordinator = std::move(coordinator), seconds](const Status& failure) {
            LogWarning("coordinator_does_not_answer", {{"coordinator", coordinator},
                                                       {"why", failure.message()},
                                                       {"next", "asked again for " + std::to_string(seconds) + " s"}});
          }};
}

}  // namespace ferment::rpc
