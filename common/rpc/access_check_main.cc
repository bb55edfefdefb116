// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.pb.h>

#include <cstdio>
#include <fstream>
#include <map>

#include "common/rpc/access_policy.h"

namespace ferment::rpc {
namespace {

/// The most bytes of each message that has such a limit, by ".package.Name".
std::map<std::string, std::uint32_t> LimitsOf(const google::protobuf::FileDescriptorSet& files) {
  std::map<std::string, std::uint32_t> limits;
  for (const auto& file : files.file()) {
    for (const auto& message : file.message_type()) {
      const std::uint32_t most = message.options().GetExtension(v1::max_bytes);
      if (most > 0) limits["." + file.package() + "." + message.name()] = most;
    }
  }
  return limits;
}

std::string Row(const MethodAccess& access, std::uint32_t most_bytes) {
  std::string row = "| `" + access.path.substr(1) + "` |";
  for (const v1::Role role : AllRoles()) row += access.allow.count(role) != 0 ? " yes |" : " |";
  return row + (access.audited ? " yes | " : " | ") + std::to_string(most_bytes) + " |\n";
}

std::string Heading() {
  std::string names = "| method |";
  std::string rule = "|---|";
  for (const v1::Role role : AllRoles()) {
    names += " " + RoleName(role) + " |";
    rule += "---|";
  }
  return names + " audited | bytes of a request |\n" + rule + "---|---|\n";
}

/// Returns: the method's row. Errors: those of AccessOf; Internal where its request may have any size.
Result<std::string> RowOf(const std::string& service, const google::protobuf::MethodDescriptorProto& method,
                          const std::map<std::string, std::uint32_t>& limits) {
  FERMENT_ASSIGN_OR_RETURN(const MethodAccess access, AccessOf(service, method.name(), method.options()));
  const auto most = limits.find(method.input_type());
  if (most != limits.end()) return Row(access, most->second);
  return Fail(InternalError("a request of any size: message=" + method.input_type().substr(1) +
                            "; give it `option (ferment.v1.max_bytes) = BYTES` (proto/ferment/v1/access.proto)"));
}

/// Prints the table of all methods in a FileDescriptorSet, as docs/security.md has it. Returns: 1 where one of them
/// has no rule, so that the build ends.
int Main(int argc, char** argv) {
  google::protobuf::FileDescriptorSet files;
  std::ifstream in(argc == 2 ? argv[1] : "", std::ios::binary);
  if (!in || !files.ParseFromIstream(&in)) {
    std::fputs("usage: access-check FILE_DESCRIPTOR_SET\n", stderr);
    return exit_code::kUsage;
  }
  const auto limits = LimitsOf(files);
  std::string table = Heading();
  int faults = 0;
  for (const auto& file : files.file()) {
    for (const auto& service : file.service()) {
      for (const auto& method : service.method()) {
        const auto row = RowOf(file.package() + "." + service.name(), method, limits);
        if (row) {
          table += *row;
          continue;
        }
        ++faults;
        std::fprintf(stderr, "%s: %s\n", file.name().c_str(), std::string(row.error().message()).c_str());
      }
    }
  }
  if (faults > 0) return exit_code::kBug;
  std::fputs(table.c_str(), stdout);
  return exit_code::kOk;
}

}  // namespace
}  // namespace ferment::rpc

int main(int argc, char** argv) { return ferment::rpc::Main(argc, argv); }
