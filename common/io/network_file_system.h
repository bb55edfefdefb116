// SPDX-License-Identifier: Apache-2.0
//
// Tells file systems that lie on other machines, where a database loses data: their locks and syncs are not a disk's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace ferment::io {

/// Returns: the name of the network file system that `type` (f_type of statfs) stands for. FUSE has one number for all:
/// of those, the name within `mount_type`, such as "fuse.sshfs". Empty for those that are local, overlay among them,
/// for those of a cluster over shared block devices, and for those that are not known here.
std::string NetworkFileSystemName(std::uint32_t type, std::string_view mount_type);

/// Returns: the type of the mount with this device number in `mounts`, the text of /proc/self/mountinfo; empty where it
/// has none.
std::string MountType(std::string_view mounts, std::uint64_t device);

/// Returns: the name of the network file system that has `file`, or the folder in which it is to be made; empty where
/// that is local, or cannot be seen.
std::string NetworkFileSystemOf(const std::filesystem::path& file);

}  // namespace ferment::io
