// SPDX-License-Identifier: Apache-2.0
//
// Packs for tests, sound and damaged, byte by byte.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace ferment::dataset {

using Bytes = std::string;

/// Returns: an image record's payload: 24-byte header, labels (scalar form when there is at most one and `flag` is 0),
/// picture.
Bytes ImagePayload(std::uint32_t flag, const std::vector<float>& labels, const Bytes& picture, std::uint64_t id = 0);

/// Returns: the four bytes of the magic.
Bytes MagicBytes();

/// Collects a .rec and its .idx.
class PackBuilder {
 public:
  /// Appends a logical record as dmlc does, split wherever the payload holds the magic at an aligned place. Returns:
  /// its offset.
  std::uint64_t Append(const Bytes& payload);
  /// Appends bytes as they are.
  void AppendRaw(const Bytes& bytes) { rec_ += bytes; }
  void Index(std::uint64_t key, std::uint64_t offset) {
    index_ += std::to_string(key) + "\t" + std::to_string(offset) + "\n";
  }
  void AppendIndexed(std::uint64_t key, const Bytes& payload) { Index(key, Append(payload)); }
  void IndexRaw(const std::string& text) { index_ += text; }

  Bytes& rec() { return rec_; }
  /// Writes train.rec, train.idx and property into a fresh folder. Returns: the folder.
  std::filesystem::path Write(const std::string& name) const;

 private:
  void AppendPart(std::uint32_t flag, const Bytes& part);

  Bytes rec_;
  std::string index_;
};

/// Returns: a fresh, empty folder below the test's temporary folder.
std::filesystem::path FreshFolder(const std::string& name);
void WriteText(const std::filesystem::path& path, const std::string& text);
/// Returns: the bytes of tests/fixtures/<name>.
Bytes Fixture(const std::string& name);
/// Returns: the folder that FERMENT_REAL_FACES names, or an empty path.
std::filesystem::path RealFaces();

}  // namespace ferment::dataset
