// SPDX-License-Identifier: Apache-2.0
//
// Hands the bytes of a fuzz run to code that reads files.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace ferment {

/// This process's own folder in the system's temporary one; gone when the process ends well.
struct FuzzFolder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("ferment-fuzz-" + std::to_string(::getpid()));
  FuzzFolder() { std::filesystem::create_directories(path); }
  ~FuzzFolder() { std::filesystem::remove_all(path); }
};

/// Returns: the folder, with `name` in it holding the bytes.
inline std::filesystem::path FolderWith(const std::string& name, const std::uint8_t* data, std::size_t size) {
  static const FuzzFolder folder;
  // Written anew each time: the code under test may still map the one before.
  std::filesystem::remove(folder.path / name);
  std::ofstream(folder.path / name, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  return folder.path;
}

}  // namespace ferment
