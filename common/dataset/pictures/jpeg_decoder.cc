// SPDX-License-Identifier: Apache-2.0
#include "common/dataset/pictures/jpeg_decoder.h"

#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

namespace ferment::dataset {
namespace {

constexpr int kExifMarker = JPEG_APP0 + 1;
constexpr unsigned int kMaxMarkerBytes = 0xFFFF;

/// libjpeg's state. The error manager comes first: libjpeg hands back a pointer to it.
struct Decoder {
  jpeg_error_mgr errors;
  std::jmp_buf on_error;
  jpeg_progress_mgr progress;
  jpeg_decompress_struct state;
  bool truncated;
  bool too_many_scans;
  char message[JMSG_LENGTH_MAX];
};

Decoder& DecoderOf(j_common_ptr state) { return *reinterpret_cast<Decoder*>(state->err); }

[[noreturn]] void StopOnError(j_common_ptr state) {
  Decoder& decoder = DecoderOf(state);
  if (decoder.message[0] == '\0') decoder.errors.format_message(state, decoder.message);
  std::longjmp(decoder.on_error, 1);
}

void NoteWarning(j_common_ptr state, int level) {
  if (level >= 0) return;
  Decoder& decoder = DecoderOf(state);
  ++decoder.errors.num_warnings;
  if (decoder.errors.msg_code == JWRN_JPEG_EOF || decoder.errors.msg_code == JWRN_HIT_MARKER) decoder.truncated = true;
}

void Discard(j_common_ptr) {}

void LimitScans(j_common_ptr state) {
  Decoder& decoder = DecoderOf(state);
  if (decoder.state.input_scan_number <= kMaxScans) return;
  decoder.too_many_scans = true;
  StopOnError(state);
}

void Prepare(Decoder& decoder, std::span<const std::byte> bytes) {
  decoder.state.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = StopOnError;
  decoder.errors.emit_message = NoteWarning;
  decoder.errors.output_message = Discard;
  jpeg_create_decompress(&decoder.state);
  decoder.progress.progress_monitor = LimitScans;
  decoder.state.progress = &decoder.progress;
  jpeg_mem_src(&decoder.state, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_save_markers(&decoder.state, kExifMarker, kMaxMarkerBytes);
}

std::uint32_t GetNumber(std::string_view tiff, std::size_t at, std::size_t bytes, bool little) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    const auto byte = static_cast<unsigned char>(tiff[at + (little ? bytes - 1 - i : i)]);
    value = value << 8 | byte;
  }
  return value;
}

/// Returns: tag 0x0112 of the first directory; 1 (upright) where there is none.
int ExifOrientation(const jpeg_decompress_struct& state) {
  for (const jpeg_marker_struct* marker = state.marker_list; marker != nullptr; marker = marker->next) {
    std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (marker->marker != kExifMarker || !data.starts_with(std::string_view("Exif\0\0", 6))) continue;
    const std::string_view tiff = data.substr(6);
    if (tiff.size() < 8) return 1;
    const bool little = tiff[0] == 'I';
    const std::size_t directory = GetNumber(tiff, 4, 4, little);
    if (directory + 2 > tiff.size()) return 1;
    const std::size_t entries = GetNumber(tiff, directory, 2, little);
    for (std::size_t i = 0; i < entries; ++i) {
      const std::size_t at = directory + 2 + 12 * i;
      if (at + 12 > tiff.size()) return 1;
      if (GetNumber(tiff, at, 2, little) == 0x0112) return static_cast<int>(GetNumber(tiff, at + 8, 2, little));
    }
    return 1;
  }
  return 1;
}

/// Returns: an empty text, or why the picture that the header announces is refused.
std::string RefusalOf(const jpeg_decompress_struct& state) {
  const std::string size = std::to_string(state.image_width) + "x" + std::to_string(state.image_height);
  const auto pixels = static_cast<std::uint64_t>(state.image_width) * state.image_height;
  if (pixels == 0) return "jpeg-broken: no pixels: size=" + size;
  if (pixels > kMaxPixels) return "jpeg-huge: size=" + size + " max_pixels=" + std::to_string(kMaxPixels);
  if (state.num_components == 4) return "jpeg-cmyk: four components, no profile to convert by: size=" + size;
  if (state.num_components != 1 && state.num_components != 3)
    return "jpeg-broken: components=" + std::to_string(state.num_components);
  return {};
}

/// Returns: false where libjpeg jumped out. Nothing with a destructor lives in these two frames.
bool RunHeader(Decoder& decoder, std::span<const std::byte> bytes) {
  if (setjmp(decoder.on_error) != 0) return false;
  Prepare(decoder, bytes);
  jpeg_read_header(&decoder.state, TRUE);
  return true;
}

bool RunScanlines(Decoder& decoder, Image& image) {
  if (setjmp(decoder.on_error) != 0) return false;
  jpeg_start_decompress(&decoder.state);
  const std::size_t stride = static_cast<std::size_t>(image.width) * 3;
  while (decoder.state.output_scanline < decoder.state.output_height) {
    JSAMPROW row = image.rgb.data() + stride * decoder.state.output_scanline;
    jpeg_read_scanlines(&decoder.state, &row, 1);
  }
  jpeg_finish_decompress(&decoder.state);
  return true;
}

Status FailureOf(const Decoder& decoder, std::size_t bytes) {
  const std::string said(decoder.message);
  const std::string place = ": bytes=" + std::to_string(bytes) + (said.empty() ? "" : ": " + said);
  if (decoder.too_many_scans)
    return DataLossError("jpeg-scans: more than " + std::to_string(kMaxScans) + " scans" + place);
  if (decoder.truncated) return DataLossError("jpeg-truncated" + place);
  return DataLossError("jpeg-broken" + place);
}

Result<Image> Decode(Decoder& decoder, std::span<const std::byte> bytes) {
  if (!RunHeader(decoder, bytes)) return Fail(FailureOf(decoder, bytes.size()));
  if (const std::string refusal = RefusalOf(decoder.state); !refusal.empty()) return Fail(DataLossError(refusal));
  decoder.state.out_color_space = JCS_RGB;
  Image image = {static_cast<int>(decoder.state.image_width), static_cast<int>(decoder.state.image_height), {}};
  image.rgb.resize(static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) * 3);
  const int orientation = ExifOrientation(decoder.state);
  if (!RunScanlines(decoder, image) || decoder.truncated) return Fail(FailureOf(decoder, bytes.size()));
  return Upright(std::move(image), orientation);
}

}  // namespace

bool IsJpeg(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0xFF} && bytes[1] == std::byte{0xD8};
}

Result<Image> DecodeJpeg(std::span<const std::byte> bytes) {
  if (bytes.empty()) return Fail(DataLossError("jpeg-empty: no bytes"));
  if (!IsJpeg(bytes)) return Fail(DataLossError("not-a-jpeg: no SOI marker: bytes=" + std::to_string(bytes.size())));
  Decoder decoder = {};
  Result<Image> image = Decode(decoder, bytes);
  jpeg_destroy_decompress(&decoder.state);
  return image;
}

}  // namespace ferment::dataset
