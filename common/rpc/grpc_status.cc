// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_status.h"

#include <charconv>

namespace ferment::rpc {
namespace {

constexpr std::string_view kExitCodePrefix = "exit_code=";

}  // namespace

grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  std::string details;
  if (status.exit_code() != 0) details = std::string(kExitCodePrefix) + std::to_string(status.exit_code());
  return grpc::Status(code, std::string(status.message()), details);
}

Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return {};
  const int number = static_cast<int>(status.error_code());
  const bool known =
      number >= static_cast<int>(StatusCode::kCancelled) && number <= static_cast<int>(StatusCode::kUnauthenticated);
  Status result(known ? static_cast<StatusCode>(number) : StatusCode::kUnknown, status.error_message());
  const std::string details = status.error_details();
  if (!details.starts_with(kExitCodePrefix)) return result;
  int exit_code = 0;
  std::from_chars(details.data() + kExitCodePrefix.size(), details.data() + details.size(), exit_code);
  return exit_code > 0 && exit_code < 256 ? result.WithExitCode(exit_code) : result;
}

}  // namespace ferment::rpc
