// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tensorboard_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>

#include "common/base/json.h"
#include "common/io/byte_cursor.h"
#include "common/io/checksum.h"
#include "worker/tensorboard/tensorboard_event.h"

namespace ferment::testing {
namespace {

/// Returns: whether the next four bytes are the text's check sum, as the format writes it.
bool IsChecked(const std::string& text, io::ByteCursor& cursor) {
  const std::uint32_t sum = io::Crc32c(std::as_bytes(std::span(text)));
  return cursor.Number(4) == std::optional<std::uint64_t>(((sum >> 15 | sum << 17) + 0xA282EAD8U) & 0xFFFFFFFFU);
}

std::optional<std::string> NextRecord(io::ByteCursor& cursor) {
  const auto length = cursor.Text(8);
  if (!length || !IsChecked(*length, cursor)) return std::nullopt;
  const auto data = cursor.Text(io::ByteCursor(std::as_bytes(std::span(*length))).Number(8));
  return data && IsChecked(*data, cursor) ? data : std::nullopt;
}

void Forget(std::int64_t from, Scalars& scalars) {
  for (auto& [tag, points] : scalars) points.erase(points.lower_bound(from), points.end());
}

}  // namespace

std::vector<std::filesystem::path> TensorboardFiles(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(folder, absent)) files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

std::vector<tensorboard::Event> ReadTensorboardFile(const std::filesystem::path& file) {
  std::ifstream in(file);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  io::ByteCursor cursor(std::as_bytes(std::span(bytes)));
  std::vector<tensorboard::Event> events;
  while (const auto record = NextRecord(cursor)) EXPECT_TRUE(events.emplace_back().ParseFromString(*record)) << file;
  return events;
}

Scalars ReadTensorboard(const std::filesystem::path& folder) {
  Scalars scalars;
  for (const auto& file : TensorboardFiles(folder)) {
    for (const tensorboard::Event& event : ReadTensorboardFile(file)) {
      if (event.session_log().status() == tensorboard::SessionLog::START) Forget(event.step(), scalars);
      for (const auto& value : event.summary().value()) {
        const bool fresh = scalars[value.tag()].emplace(event.step(), value.simple_value()).second;
        EXPECT_TRUE(fresh) << value.tag() << " step " << event.step() << " of " << file;
      }
    }
  }
  return scalars;
}

Scalars ScalarsOfCurve(const std::filesystem::path& curve) {
  Scalars scalars;
  std::ifstream in(curve);
  for (std::string line; std::getline(in, line);) {
    const Json figures = ParseJson(line).value();
    for (const auto& [name, value] : figures.items()) {
      if (name != "step") scalars[worker::TagOf(name)][figures["step"]] = value.get<float>();
    }
  }
  return scalars;
}

}  // namespace ferment::testing
