// SPDX-License-Identifier: Apache-2.0
//
// How a text that must not get out may look where it did.
#pragma once

#include <string>
#include <vector>

namespace ferment::testing {

inline std::string Hex(const std::string& text) {
  std::string hex;
  for (const unsigned char letter : text) {
    hex += "0123456789abcdef"[letter / 16];
    hex += "0123456789abcdef"[letter % 16];
  }
  return hex;
}

/// Returns: what base64 makes of it behind `skipped` other bytes, without the letters that these or the end decide.
inline std::string Base64(std::string text, std::size_t skipped) {
  constexpr const char* kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  text.erase(0, (3 - skipped) % 3);
  std::string coded;
  for (std::size_t at = 0; at + 3 <= text.size(); at += 3) {
    unsigned value = 0;
    for (std::size_t i = 0; i < 3; ++i) value = value * 256 + static_cast<unsigned char>(text[at + i]);
    for (int shift = 18; shift >= 0; shift -= 6) coded += kLetters[(value >> shift) % 64];
  }
  return coded;
}

/// Returns: the text, its hex, and its base64 wherever it stands in a longer text.
inline std::vector<std::string> FormsOf(const std::string& text) {
  return {text, Hex(text), Base64(text, 0), Base64(text, 1), Base64(text, 2)};
}

}  // namespace ferment::testing
