// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/packed_files.h"

#include <algorithm>
#include <limits>

#include "common/base/check.h"

namespace ferment::coordinator {
namespace {

/// The name is the whole path: there are as many folders as a byte can number.
constexpr std::size_t kNoFolder = std::numeric_limits<unsigned char>::max();

}  // namespace

PackedFiles::PackedFiles(std::span<const ResultFile> files, std::vector<std::string>& folders) {
  for (const ResultFile& file : files) {
    FERMENT_CHECK(file.file.find('\0') == std::string::npos && file.sha256.find('\0') == std::string::npos)
        << "file=" << file.file;
    const std::size_t name = file.file.rfind('/') + 1;  // 0 where there is no folder
    const std::string folder = file.file.substr(0, name);
    const auto number = static_cast<std::size_t>(std::find(folders.begin(), folders.end(), folder) - folders.begin());
    if (number == kNoFolder) {
      text_ += static_cast<char>(kNoFolder);
      text_.append(file.file).push_back('\0');
    } else {
      if (number == folders.size()) folders.push_back(folder);
      text_ += static_cast<char>(number);
      text_.append(file.file, name).push_back('\0');
    }
    text_.append(file.sha256).push_back('\0');
  }
  text_.shrink_to_fit();
}

PackedFiles PackedFiles::FromText(std::string text) {
  PackedFiles files;
  files.text_ = std::move(text);
  files.text_.shrink_to_fit();
  return files;
}

std::vector<ResultFile> PackedFiles::Unpack(std::span<const std::string> folders) const {
  std::vector<ResultFile> files;
  for (std::size_t at = 0; at < text_.size();) {
    const auto number = static_cast<unsigned char>(text_[at]);
    FERMENT_CHECK(number == kNoFolder || number < folders.size()) << "number=" << int{number};
    const std::string folder = number == kNoFolder ? std::string() : folders[number];
    const std::string name = text_.c_str() + at + 1;
    at += 1 + name.size() + 1;
    const std::string sha256 = text_.c_str() + at;
    at += sha256.size() + 1;
    files.push_back({folder + name, sha256});
  }
  return files;
}

}  // namespace ferment::coordinator
