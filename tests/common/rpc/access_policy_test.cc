// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/access_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "common/rpc/grpc_server.h"
#include "ferment/v1/lease_service.grpc.pb.h"
#include "ferment/v1/run_service.grpc.pb.h"
#include "ferment/v1/trainer_service.grpc.pb.h"

namespace ferment::rpc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr const char* kServices[] = {"ferment.v1.RunService", "ferment.v1.LeaseService", "ferment.v1.TrainerService"};

/// A static library gives only what is asked for: the descriptors are there where their messages are used.
const void* const kLinked[] = {v1::RunStatus::descriptor(), v1::LeaseKey::descriptor(),
                               v1::FailJobRequest::descriptor()};

TEST(AccessPolicy, ReadsTheOptionsOfEveryMethod) {
  ASSERT_EQ(std::size(kLinked), 3U);
  const auto policy = AccessPolicy::Read(kServices);
  ASSERT_TRUE(policy) << policy.error().message();
  const MethodAccess* submit = policy->Find("/ferment.v1.RunService/SubmitRun");
  ASSERT_NE(submit, nullptr);
  EXPECT_THAT(submit->allow, UnorderedElementsAre(v1::ROLE_SUBMITTER, v1::ROLE_OPERATOR));
  EXPECT_TRUE(submit->audited);
  const MethodAccess* renew = policy->Find("/ferment.v1.LeaseService/RenewLease");
  ASSERT_NE(renew, nullptr);
  EXPECT_THAT(renew->allow, ElementsAre(v1::ROLE_LABELER));
  EXPECT_FALSE(renew->audited);
  EXPECT_EQ(policy->methods().size(), 18U + 2U);
}

TEST(AccessPolicy, OpensHealthAlone) {
  const auto policy = AccessPolicy::Read(kServices);
  ASSERT_TRUE(policy);
  for (const MethodAccess& access : policy->methods()) {
    EXPECT_EQ(access.open, access.path.starts_with("/grpc.health.v1.Health/")) << access.path;
    EXPECT_NE(access.open, !access.allow.empty()) << access.path;
  }
}

TEST(AccessPolicy, KnowsNoOtherMethod) {
  const auto policy = AccessPolicy::Read(kServices);
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->Find("/ferment.v1.RunService/DeleteEverything"), nullptr);
  EXPECT_EQ(policy->Find("ferment.v1.RunService/GetRun"), nullptr);
  EXPECT_EQ(policy->Find(""), nullptr);
}

TEST(AccessPolicy, RefusesAMethodThatSaysNothing) {
  const auto silent = AccessOf("ferment.v1.RunService", "NewMethod", {});
  ASSERT_FALSE(silent);
  EXPECT_THAT(std::string(silent.error().message()), HasSubstr("ferment.v1.RunService.NewMethod"));
  google::protobuf::MethodOptions options;
  options.MutableExtension(v1::access)->set_audited(true);
  EXPECT_FALSE(AccessOf("a", "b", options)) << "a rule that names no role";
  options.MutableExtension(v1::access)->add_allow(v1::ROLE_UNSPECIFIED);
  EXPECT_FALSE(AccessOf("a", "b", options));
  const char* const unknown[] = {"ferment.v1.NoService"};
  EXPECT_FALSE(AccessPolicy::Read(unknown));
}

TEST(AccessPolicy, EveryRequestHasASizeThatGrpcLetsThrough) {
  for (const char* name : kServices) {
    const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* request = service->method(i)->input_type();
      const std::uint32_t most = request->options().GetExtension(v1::max_bytes);
      EXPECT_GT(most, 0U) << request->name();
      EXPECT_LT(most, static_cast<std::uint32_t>(GrpcServerConfig().max_request_bytes)) << request->name();
    }
  }
}

std::string TextOf(const char* file) {
  std::ifstream in(file);
  return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST(AccessPolicy, IsWhatTheDocumentSays) {
  const std::string table = TextOf(FERMENT_ACCESS_TABLE);
  EXPECT_THAT(table, HasSubstr("ferment.v1.RunService/SubmitRun"));
  EXPECT_THAT(TextOf(FERMENT_SOURCE_DIR "/docs/security.md"), HasSubstr(table)) << "put this into docs/security.md:\n"
                                                                                << table;
}

TEST(AccessPolicy, NamesRolesBothWays) {
  EXPECT_EQ(AllRoles().size(), 5U);
  for (const v1::Role role : AllRoles()) EXPECT_EQ(RoleNamed(RoleName(role)), role);
  EXPECT_EQ(RoleNamed("root"), v1::ROLE_UNSPECIFIED);
  EXPECT_EQ(RoleNamed("unspecified"), v1::ROLE_UNSPECIFIED);
}

}  // namespace
}  // namespace ferment::rpc
