// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.pb.h>

#include <cstdio>
#include <fstream>

#include "common/rpc/access_policy.h"

namespace ferment::rpc {
namespace {

std::string Row(const MethodAccess& access) {
  std::string row = "| `" + access.path.substr(1) + "` |";
  for (const v1::Role role : AllRoles()) row += access.allow.count(role) != 0 ? " yes |" : " |";
  return row + (access.audited ? " yes |\n" : " |\n");
}

std::string Heading() {
  std::string names = "| method |";
  std::string rule = "|---|";
  for (const v1::Role role : AllRoles()) {
    names += " " + RoleName(role) + " |";
    rule += "---|";
  }
  return names + " audited |\n" + rule + "---|\n";
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
  std::string table = Heading();
  int faults = 0;
  for (const auto& file : files.file()) {
    for (const auto& service : file.service()) {
      for (const auto& method : service.method()) {
        const auto access = AccessOf(file.package() + "." + service.name(), method.name(), method.options());
        if (access) {
          table += Row(*access);
          continue;
        }
        ++faults;
        std::fprintf(stderr, "%s: %s\n", file.name().c_str(), std::string(access.error().message()).c_str());
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
