// SPDX-License-Identifier: Apache-2.0
//
// Which role may call which method, as the options in the protos say it.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "ferment/v1/access.pb.h"

namespace ferment::rpc {

/// Returns: "reader", "submitter", "operator", "labeler" or "trainer".
std::string RoleName(v1::Role role);
/// Returns: the role of that name; ROLE_UNSPECIFIED where there is none.
v1::Role RoleNamed(std::string_view name);
/// Returns: every role but the unspecified one.
std::vector<v1::Role> AllRoles();

/// What the policy says about one method.
struct MethodAccess {
  /// "/ferment.v1.RunService/GetRun", as it is on the wire.
  std::string path;
  std::set<v1::Role> allow;
  bool audited = false;
  /// Anyone may call it, also without a role.
  bool open = false;
};

/// A value; constant once read. Whatever it does not know is refused.
class AccessPolicy {
 public:
  /// Reads the options of these services, full names such as "ferment.v1.RunService", and opens grpc.health.v1.
  /// Errors: Internal where a service is not linked in, or a method has no option.
  static Result<AccessPolicy> Read(std::span<const char* const> services);

  /// Lets those who may look at runs also ask what can be called.
  void AllowReflection();

  /// Returns: nullptr for a method that is not known.
  const MethodAccess* Find(std::string_view path) const;
  const std::vector<MethodAccess>& methods() const { return methods_; }

 private:
  std::vector<MethodAccess> methods_;
};

/// Returns: the rule at a method. Errors: Internal where it stands at none, or names no role.
Result<MethodAccess> AccessOf(const std::string& service, const std::string& method,
                              const google::protobuf::MethodOptions& options);

}  // namespace ferment::rpc
