// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/access_policy.h"

#include <algorithm>

namespace ferment::rpc {
namespace {

constexpr std::string_view kRolePrefix = "ROLE_";

}  // namespace

std::string RoleName(v1::Role role) {
  std::string name = v1::Role_Name(role).substr(kRolePrefix.size());
  for (char& letter : name) letter = static_cast<char>(std::tolower(letter));
  return name;
}

v1::Role RoleNamed(std::string_view name) {
  for (const v1::Role role : AllRoles()) {
    if (RoleName(role) == name) return role;
  }
  return v1::ROLE_UNSPECIFIED;
}

std::vector<v1::Role> AllRoles() {
  std::vector<v1::Role> roles;
  for (int number = v1::Role_MIN; number <= v1::Role_MAX; ++number) {
    if (v1::Role_IsValid(number) && number != v1::ROLE_UNSPECIFIED) roles.push_back(static_cast<v1::Role>(number));
  }
  return roles;
}

Result<MethodAccess> AccessOf(const std::string& service, const std::string& method,
                              const google::protobuf::MethodOptions& options) {
  const v1::AccessRule& rule = options.GetExtension(v1::access);
  MethodAccess access{"/" + service + "/" + method, {}, rule.audited(), false};
  for (const int role : rule.allow()) {
    if (role != v1::ROLE_UNSPECIFIED && v1::Role_IsValid(role)) access.allow.insert(static_cast<v1::Role>(role));
  }
  if (!access.allow.empty()) return access;
  return Fail(InternalError(
      "a method that says nothing about who may call it: method=" + service + "." + method +
      "; give it `option (ferment.v1.access) = {allow: [...]}` (proto/ferment/v1/access.proto has the roles)"));
}

Result<AccessPolicy> AccessPolicy::Read(std::span<const char* const> services) {
  AccessPolicy policy;
  for (const char* name : services) {
    const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    if (service == nullptr) return Fail(InternalError(std::string("no such service in this program: service=") + name));
    for (int i = 0; i < service->method_count(); ++i) {
      FERMENT_ASSIGN_OR_RETURN(MethodAccess access, AccessOf(service->full_name(), service->method(i)->name(),
                                                             service->method(i)->options()));
      policy.methods_.push_back(std::move(access));
    }
  }
  for (const char* method : {"Check", "Watch"}) {
    policy.methods_.push_back({std::string("/grpc.health.v1.Health/") + method, {}, false, true});
  }
  return policy;
}

void AccessPolicy::AllowReflection() {
  methods_.push_back({"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                      {v1::ROLE_READER, v1::ROLE_SUBMITTER, v1::ROLE_OPERATOR},
                      false,
                      false});
}

const MethodAccess* AccessPolicy::Find(std::string_view path) const {
  const auto found =
      std::find_if(methods_.begin(), methods_.end(), [path](const MethodAccess& one) { return one.path == path; });
  return found == methods_.end() ? nullptr : &*found;
}

}  // namespace ferment::rpc
