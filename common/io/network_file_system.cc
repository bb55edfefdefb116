// SPDX-License-Identifier: Apache-2.0
#include "common/io/network_file_system.h"

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>

#include "common/io/local_file_system.h"

namespace ferment::io {
namespace {

struct NamedType {
  std::uint32_t type;
  std::string_view name;
};

constexpr std::uint32_t kFuse = 0x65735546;

/// Numbers as in linux/magic.h, or as the file system's own sources have them.
constexpr std::array kNetworkTypes = std::to_array<NamedType>({
    {0x00006969, "nfs"},
    {0x0000517B, "smb"},
    {0xFF534D42, "cifs"},
    {0xFE534D42, "smb2"},
    {0x01021997, "9p"},
    {0x00C36400, "ceph"},
    {0x0BD00BD0, "lustre"},
    {0x5346414F, "afs"},
    {0x6B414653, "afs"},
    {0x73757245, "coda"},
    {0x0000564C, "ncp"},
    {0x47504653, "gpfs"},
    {0x19830326, "beegfs"},
    {0xAAD7AAEA, "panfs"},
    {0x20030528, "orangefs"},
    {0x786F4256, "vboxsf"},
});

constexpr std::array kNetworkFuses = std::to_array<std::string_view>(
    {"blobfuse",      "blobfuse2", "ceph",   "ceph-fuse", "curlftpfs", "davfs",      "fuse_dfs", "gcsfuse",
     "geesefs",       "glusterfs", "goofys", "juicefs",   "lizardfs",  "mfs",        "moosefs",  "mount-s3",
     "mountpoint-s3", "rclone",    "s3fs",   "seaweedfs", "sshfs",     "vmhgfs-fuse"});

constexpr std::string_view kFusePrefix = "fuse.";

}  // namespace

std::string NetworkFileSystemName(std::uint32_t type, std::string_view mount_type) {
  if (type == kFuse) {
    if (!mount_type.starts_with(kFusePrefix)) return "";
    const std::string_view name = mount_type.substr(kFusePrefix.size());
    return std::ranges::find(kNetworkFuses, name) != kNetworkFuses.end() ? std::string(name) : "";
  }
  const auto* const known = std::ranges::find(kNetworkTypes, type, &NamedType::type);
  return known != kNetworkTypes.end() ? std::string(known->name) : "";
}

// A line: 36 35 98:0 /root /mount options [optional fields] - type source options
std::string MountType(std::string_view mounts, std::uint64_t device) {
  const std::string wanted = " " + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + " ";
  constexpr std::string_view kSeparator = " - ";
  while (!mounts.empty()) {
    const std::size_t end = std::min(mounts.find('\n'), mounts.size());
    const std::string_view line = mounts.substr(0, end);
    mounts.remove_prefix(std::min(end + 1, mounts.size()));
    const std::size_t second = std::min(line.find(' '), line.size());
    const std::size_t third = line.find(' ', second + 1);
    const std::size_t type = line.find(kSeparator);
    if (type == line.npos || third == line.npos || !line.substr(third).starts_with(wanted)) continue;
    const std::string_view rest = line.substr(type + kSeparator.size());
    return std::string(rest.substr(0, rest.find(' ')));
  }
  return "";
}

std::string NetworkFileSystemOf(const std::filesystem::path& file) {
  std::filesystem::path seen = file;
  struct statfs found = {};
  if (::statfs(seen.c_str(), &found) != 0) {
    seen = file.has_parent_path() ? file.parent_path() : ".";
    if (::statfs(seen.c_str(), &found) != 0) return "";
  }
  const auto type = static_cast<std::uint32_t>(found.f_type);
  struct stat status = {};
  if (type != kFuse || ::stat(seen.c_str(), &status) != 0) return NetworkFileSystemName(type, "");
  return NetworkFileSystemName(type, MountType(ReadTextFile("/proc/self/mountinfo").value_or(""), status.st_dev));
}

}  // namespace ferment::io
