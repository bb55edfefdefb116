// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_status.h"

#include <google/protobuf/util/time_util.h>

#include <charconv>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace ferment::rpc {
namespace {

using google::protobuf::util::TimeUtil;

constexpr const char* kDomain = "ferment";
constexpr const char* kExitCode = "exit_code";

// Trailers hold the message twice, once with three letters for each that is not ASCII, and clients take 8 KiB of them:
// with more the client sees another error than the one that was meant.
constexpr std::size_t kMaxMessage = 1'500;
// The data stands at the end.
constexpr std::size_t kKeptEnd = 400;

bool BeginsALetter(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }

std::string MessageOf(const Status& status) {
  const std::string_view text = status.message();
  if (text.size() <= kMaxMessage) return std::string(text);
  std::size_t head = kMaxMessage - kKeptEnd;
  while (head > 0 && !BeginsALetter(text[head])) --head;
  std::size_t tail = text.size() - kKeptEnd;
  while (tail < text.size() && !BeginsALetter(text[tail])) ++tail;
  return std::string(text.substr(0, head)) + " [" + std::to_string(tail - head) + " bytes left out] " +
         std::string(text.substr(tail));
}

constexpr std::size_t kMaxName = 200;

void AddSubject(const Status& status, const CallSubject& subject, google::rpc::Status& rich) {
  const bool named = !subject.name.empty() && subject.name.size() <= kMaxName;
  if (status.code() == StatusCode::kNotFound && named) {
    google::rpc::ResourceInfo resource;
    resource.set_resource_type(subject.type);
    resource.set_resource_name(subject.name);
    rich.add_details()->PackFrom(resource);
  }
  if (status.code() == StatusCode::kFailedPrecondition && named) {
    google::rpc::PreconditionFailure failure;
    failure.add_violations()->set_type("STATE");
    failure.mutable_violations(0)->set_subject(subject.type + "/" + subject.name);
    rich.add_details()->PackFrom(failure);
  }
  if (status.code() == StatusCode::kInvalidArgument && !subject.field.empty()) {
    google::rpc::BadRequest request;
    request.add_field_violations()->set_field(subject.field);
    rich.add_details()->PackFrom(request);
  }
}

std::string DetailsOf(const Status& status, const CallSubject& subject) {
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  rich.set_message(MessageOf(status));
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(StatusCodeName(status.code())));
  info.set_domain(kDomain);
  if (status.exit_code() != 0) (*info.mutable_metadata())[kExitCode] = std::to_string(status.exit_code());
  rich.add_details()->PackFrom(info);
  if (status.code() == StatusCode::kResourceExhausted) {
    google::rpc::RetryInfo retry;
    *retry.mutable_retry_delay() = TimeUtil::MillisecondsToDuration(kRetryDelay.count());
    rich.add_details()->PackFrom(retry);
  }
  AddSubject(status, subject, rich);
  return rich.SerializeAsString();
}

/// Returns: the first detail of this kind, if there is one.
template <typename Detail>
std::optional<Detail> FindDetail(const grpc::Status& status) {
  google::rpc::Status rich;
  if (!rich.ParseFromString(status.error_details())) return std::nullopt;
  for (const google::protobuf::Any& any : rich.details()) {
    Detail detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

}  // namespace

grpc::Status ToGrpc(const Status& status, const CallSubject& subject) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), MessageOf(status), DetailsOf(status, subject)};
}

Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return {};
  const int number = static_cast<int>(status.error_code());
  const bool known =
      number >= static_cast<int>(StatusCode::kCancelled) && number <= static_cast<int>(StatusCode::kUnauthenticated);
  Status result(known ? static_cast<StatusCode>(number) : StatusCode::kUnknown, status.error_message());
  const auto info = FindDetail<google::rpc::ErrorInfo>(status);
  if (!info || info->domain() != kDomain || !info->metadata().contains(kExitCode)) return result;
  const std::string& text = info->metadata().at(kExitCode);
  int exit_code = 0;
  std::from_chars(text.data(), text.data() + text.size(), exit_code);
  return exit_code > 0 && exit_code < 256 ? result.WithExitCode(exit_code) : result;
}

std::optional<std::chrono::milliseconds> RetryDelayOf(const grpc::Status& status) {
  const auto retry = FindDetail<google::rpc::RetryInfo>(status);
  if (!retry) return std::nullopt;
  return std::chrono::milliseconds(TimeUtil::DurationToMilliseconds(retry->retry_delay()));
}

}  // namespace ferment::rpc
