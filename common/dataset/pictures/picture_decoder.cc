// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/pictures/picture_decoder.h"

#include <algorithm>
#include <string>

#include "common/dataset/pictures/jpeg_decoder.h"
#include "common/dataset/pictures/png_decoder.h"
#include "common/io/errno_status.h"
#include "common/io/local_file_system.h"

namespace ferment::dataset {

Result<Image> DecodePicture(std::span<const std::byte> bytes) {
  if (IsPng(bytes)) return DecodePng(bytes);
  if (IsJpeg(bytes) || bytes.empty()) return DecodeJpeg(bytes);
  return Fail(DataLossError("not-a-jpeg: nor a PNG, by its first bytes: bytes=" + std::to_string(bytes.size())));
}

Result<Image> DecodePictureFile(const std::filesystem::path& path) {
  const auto file = io::ReadFile(path);
  if (!file) return Fail(io::WithoutPath(file.error(), path));
  return DecodePicture(*file);
}

bool HasPictureName(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter; });
  return (extension == ".jpg" || extension == ".jpeg" || extension == ".png") &&
         !path.filename().string().starts_with('.');
}

}  // namespace ferment::dataset
