// SPDX-License-Identifier: Apache-2.0
#include "common/io/network_file_system.h"

#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>

namespace ferment::io {
namespace {

TEST(NetworkFileSystem, ThoseOfTheNetworkHaveNames) {
  EXPECT_EQ(NetworkFileSystemName(NFS_SUPER_MAGIC, "nfs4"), "nfs");
  EXPECT_EQ(NetworkFileSystemName(SMB_SUPER_MAGIC, ""), "smb");
  EXPECT_EQ(NetworkFileSystemName(CIFS_SUPER_MAGIC, ""), "cifs");
  EXPECT_EQ(NetworkFileSystemName(SMB2_SUPER_MAGIC, "cifs"), "smb2");
  EXPECT_EQ(NetworkFileSystemName(V9FS_MAGIC, "9p"), "9p");
  EXPECT_EQ(NetworkFileSystemName(CEPH_SUPER_MAGIC, ""), "ceph");
  EXPECT_EQ(NetworkFileSystemName(AFS_SUPER_MAGIC, ""), "afs");
  EXPECT_EQ(NetworkFileSystemName(AFS_FS_MAGIC, ""), "afs");
  EXPECT_EQ(NetworkFileSystemName(CODA_SUPER_MAGIC, ""), "coda");
  EXPECT_EQ(NetworkFileSystemName(0x0BD00BD0, ""), "lustre");
}

TEST(NetworkFileSystem, LocalOnesOverlaysAndUnknownOnesHaveNone) {
  for (const std::uint32_t type : {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, static_cast<int>(BTRFS_SUPER_MAGIC), TMPFS_MAGIC,
                                   OVERLAYFS_SUPER_MAGIC, 0x2FC12FC1 /* zfs */, OCFS2_SUPER_MAGIC, 0x12345678}) {
    EXPECT_EQ(NetworkFileSystemName(type, ""), "") << type;
  }
}

TEST(NetworkFileSystem, OfFuseTheTypeOfTheMountTells) {
  EXPECT_EQ(NetworkFileSystemName(FUSE_SUPER_MAGIC, "fuse.sshfs"), "sshfs");
  EXPECT_EQ(NetworkFileSystemName(FUSE_SUPER_MAGIC, "fuse.glusterfs"), "glusterfs");
  for (const char* local :
       {"fuseblk", "fuse.mergerfs", "fuse.fuse-overlayfs", "fuse.gocryptfs", "virtiofs", "fuse", ""}) {
    EXPECT_EQ(NetworkFileSystemName(FUSE_SUPER_MAGIC, local), "") << local;
  }
  EXPECT_EQ(NetworkFileSystemName(EXT4_SUPER_MAGIC, "fuse.sshfs"), "");
}

TEST(NetworkFileSystem, TheMountIsFoundByItsDevice) {
  const std::string mounts =
      "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
      "40 22 0:5 / /a\\040-\\040b rw shared:2 master:1 - tmpfs tmpfs rw\n"
      "41 22 0:50 / /home rw,relatime - fuse.sshfs ann@host:/home rw,user_id=0\n"
      "half 22 0:51 /\n";
  EXPECT_EQ(MountType(mounts, makedev(0, 50)), "fuse.sshfs");
  EXPECT_EQ(MountType(mounts, makedev(0, 5)), "tmpfs");
  EXPECT_EQ(MountType(mounts, makedev(254, 0)), "ext4");
  EXPECT_EQ(MountType(mounts, makedev(0, 51)), "");
  EXPECT_EQ(MountType("", makedev(0, 5)), "");
}

TEST(NetworkFileSystem, WhatCannotBeSeenIsOnNone) {
  EXPECT_EQ(NetworkFileSystemOf("/nonexistent/folder/file"), "");
  EXPECT_EQ(NetworkFileSystemOf("/proc/self/none"), "");
}

}  // namespace
}  // namespace ferment::io
