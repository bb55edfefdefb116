// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_status.h"

#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace ferment::rpc {
namespace {

TEST(GrpcStatus, CrossesAndComesBack) {
  EXPECT_TRUE(FromGrpc(ToGrpc(Status())).ok());
  for (int code = 1; code <= 16; ++code) {
    const Status status(static_cast<StatusCode>(code), "shard=7 was lost");
    EXPECT_EQ(FromGrpc(ToGrpc(status)), status) << code;
    EXPECT_EQ(FromGrpc(ToGrpc(status)).exit_code(), 0);
  }
}

TEST(GrpcStatus, CarriesTheExitCode) {
  EXPECT_EQ(FromGrpc(ToGrpc(DataLossError("x").WithExitCode(exit_code::kBadData))).exit_code(), exit_code::kBadData);
}

TEST(GrpcStatus, TellsAnOverloadedServicesClientsWhenToComeBack) {
  EXPECT_EQ(RetryDelayOf(ToGrpc(ResourceExhaustedError("full"))), kRetryDelay);
  EXPECT_EQ(RetryDelayOf(ToGrpc(AbortedError("lost"))), std::nullopt) << "drop the work, never retry";
  EXPECT_EQ(RetryDelayOf(grpc::Status::OK), std::nullopt);
}

TEST(GrpcStatus, SendsDetailsThatOtherClientsRead) {
  const grpc::Status sent = ToGrpc(AbortedError("lost").WithExitCode(exit_code::kFenced));
  google::rpc::Status rich;
  ASSERT_TRUE(rich.ParseFromString(sent.error_details()));
  EXPECT_EQ(rich.code(), static_cast<int>(StatusCode::kAborted));
  EXPECT_EQ(rich.message(), "lost");
  ASSERT_EQ(rich.details_size(), 1);
  EXPECT_EQ(rich.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(rich.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "ABORTED");
  EXPECT_EQ(info.domain(), "ferment");
  EXPECT_EQ(info.metadata().at("exit_code"), "202");
}

template <typename Detail>
Detail DetailOf(const grpc::Status& sent) {
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(sent.error_details()));
  Detail detail;
  EXPECT_EQ(rich.details_size(), 2) << "and an ErrorInfo";
  EXPECT_TRUE(rich.details(rich.details_size() - 1).UnpackTo(&detail));
  return detail;
}

TEST(GrpcStatus, NamesWhatTheCallIsAboutInTheDetailOfItsCode) {
  const CallSubject run{"ferment.v1.Run", "demo-1", "page_token"};
  const auto resource = DetailOf<google::rpc::ResourceInfo>(ToGrpc(NotFoundError("no such run"), run));
  EXPECT_EQ(resource.resource_type() + " " + resource.resource_name(), "ferment.v1.Run demo-1");
  const auto failure = DetailOf<google::rpc::PreconditionFailure>(ToGrpc(FailedPreconditionError("it ended"), run));
  ASSERT_EQ(failure.violations_size(), 1);
  EXPECT_EQ(failure.violations(0).type() + " " + failure.violations(0).subject(), "STATE ferment.v1.Run/demo-1");
  const auto request = DetailOf<google::rpc::BadRequest>(ToGrpc(InvalidArgumentError("not ours"), run));
  ASSERT_EQ(request.field_violations_size(), 1);
  EXPECT_EQ(request.field_violations(0).field(), "page_token");
}

TEST(GrpcStatus, NamesNothingThatIsNotKnownOrThatNoClientWouldTake) {
  for (const CallSubject& subject : {CallSubject{}, CallSubject{"ferment.v1.Run", std::string(201, 'x')}}) {
    for (const Status& status : {NotFoundError(""), FailedPreconditionError(""), InvalidArgumentError("")}) {
      EXPECT_EQ(ToGrpc(status, subject).error_details(), ToGrpc(status).error_details());
    }
  }
}

TEST(GrpcStatus, LeavesOutTheMiddleOfAMessageThatNoClientWouldTake) {
  std::string text = "not a folder: ";
  for (int i = 0; i < 3'000; ++i) text += "\xC3\xA4";
  const grpc::Status sent = ToGrpc(InvalidArgumentError(text + " run=r1"));
  const std::string message = sent.error_message();
  EXPECT_LT(message.size(), 1'600U);
  EXPECT_TRUE(message.starts_with("not a folder: \xC3\xA4"));
  EXPECT_TRUE(message.ends_with("\xC3\xA4 run=r1"));
  EXPECT_NE(message.find("\xC3\xA4 ["), std::string::npos) << "a letter is not cut in two";
  EXPECT_NE(message.find("] \xC3\xA4"), std::string::npos);
  EXPECT_LT(3 * message.size() + 2 * sent.error_details().size(), 8'192U);
  EXPECT_EQ(ToGrpc(InvalidArgumentError(std::string(1'500, 'x'))).error_message().size(), 1'500U);
}

TEST(GrpcStatus, IgnoresDetailsOfAnotherKind) {
  const auto code_in = [](const std::string& details) {
    return FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "m", details)).exit_code();
  };
  EXPECT_EQ(code_in("\x08\x0a\x12 binary"), 0);
  for (const auto& [domain, exit_code] : {std::pair{"ferment", "99999"}, {"ferment", "no"}, {"other", "65"}}) {
    google::rpc::ErrorInfo info;
    info.set_domain(domain);
    (*info.mutable_metadata())["exit_code"] = exit_code;
    google::rpc::Status rich;
    rich.add_details()->PackFrom(info);
    EXPECT_EQ(code_in(rich.SerializeAsString()), 0) << domain << " " << exit_code;
  }
}

}  // namespace
}  // namespace ferment::rpc
