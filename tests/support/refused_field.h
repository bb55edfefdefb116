// SPDX-License-Identifier: Apache-2.0
//
// What a client library reads of a request that was refused as invalid.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace ferment::testing {

/// Returns: the field that the BadRequest of an INVALID_ARGUMENT names; "" where there is none.
inline std::string RefusedField(const grpc::Status& status) {
  google::rpc::Status rich;
  google::rpc::BadRequest request;
  if (status.error_code() != grpc::StatusCode::INVALID_ARGUMENT) return "";
  if (!rich.ParseFromString(status.error_details())) return "";
  for (const google::protobuf::Any& detail : rich.details()) {
    if (detail.UnpackTo(&request) && request.field_violations_size() == 1) return request.field_violations(0).field();
  }
  return "";
}

}  // namespace ferment::testing
