// SPDX-License-Identifier: Apache-2.0
#include "tests/common/dataset/pack_builder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace ferment::dataset {
namespace {

template <typename T>
Bytes Raw(T value) {
  Bytes bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

}  // namespace

Bytes MagicBytes() { return Raw<std::uint32_t>(0xCED7230A); }

Bytes ImagePayload(std::uint32_t flag, const std::vector<float>& labels, const Bytes& picture, std::uint64_t id) {
  Bytes payload = Raw(flag) + Raw(flag == 0 && !labels.empty() ? labels[0] : 0.0F) + Raw(id) + Raw(std::uint64_t{0});
  for (std::size_t i = 0; i < flag; ++i) payload += Raw(labels.at(i));
  return payload + picture;
}

void PackBuilder::AppendPart(std::uint32_t flag, const Bytes& part) {
  rec_ += MagicBytes() + Raw(flag << 29 | static_cast<std::uint32_t>(part.size())) + part;
  rec_.resize((rec_.size() + 3) / 4 * 4, '\0');
}

std::uint64_t PackBuilder::Append(const Bytes& payload) {
  const std::uint64_t offset = rec_.size();
  std::vector<Bytes> parts(1);
  std::size_t begin = 0;
  for (std::size_t at = 0; at + 4 <= payload.size(); at += 4) {
    if (payload.compare(at, 4, MagicBytes()) != 0) continue;
    parts.back() = payload.substr(begin, at - begin);
    parts.emplace_back();
    begin = at + 4;
  }
  parts.back() = payload.substr(begin);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::uint32_t flag = parts.size() == 1 ? 0 : i == 0 ? 1 : i + 1 == parts.size() ? 3 : 2;
    AppendPart(flag, parts[i]);
  }
  return offset;
}

std::filesystem::path PackBuilder::Write(const std::string& name) const {
  const auto folder = FreshFolder(name);
  WriteText(folder / "train.rec", rec_);
  WriteText(folder / "train.idx", index_);
  WriteText(folder / "property", "2,112,112\n");
  return folder;
}

std::filesystem::path FreshFolder(const std::string& name) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / (name + "-" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

void WriteText(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

Bytes Fixture(const std::string& name) {
  std::ifstream file(std::filesystem::path(FERMENT_FIXTURES) / name, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::filesystem::path RealFaces() {
  const char* folder = std::getenv("FERMENT_REAL_FACES");
  return folder == nullptr ? std::filesystem::path() : std::filesystem::path(folder);
}

}  // namespace ferment::dataset
