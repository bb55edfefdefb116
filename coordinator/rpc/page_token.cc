// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/page_token.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <span>

#include "common/io/checksum.h"

namespace ferment::coordinator {
namespace {

constexpr std::size_t kDigits = 16;

}  // namespace

std::string PageTokenAfter(std::uint64_t run) {
  std::array<char, 25> text{};
  const std::uint32_t check = io::Crc32c(std::as_bytes(std::span(&run, 1)));
  std::snprintf(text.data(), text.size(), "%016llx%08x", static_cast<unsigned long long>(run), check);
  return text.data();
}

Result<std::uint64_t> RunOfPageToken(const std::string& token) {
  std::uint64_t run = 0;
  if (token.empty()) return run;
  std::from_chars(token.data(), token.data() + std::min(token.size(), kDigits), run, 16);
  if (token == PageTokenAfter(run)) return run;
  return Fail(InvalidArgumentError("not a page token of ours: page_token=" + token));
}

}  // namespace ferment::coordinator
