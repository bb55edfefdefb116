// SPDX-License-Identifier: Apache-2.0
//
// Text and numbers as HTML and SVG want them.
#pragma once

#include <string>
#include <string_view>

namespace ferment::report {

/// Returns: the text with & < > " ' written as entities, safe in content and in quoted attributes.
std::string Escaped(std::string_view text);

/// Returns: the number with `digits` decimals; "–" where it is not finite.
std::string Fixed(double value, int digits);

/// Returns: a count as people read it, such as "8,486".
std::string Grouped(double count);

/// Returns: a time as people read it, such as "42 s" or "3 min 05 s".
std::string Duration(double seconds);

/// Returns: a size as people read it, such as "412 MiB".
std::string Bytes(double bytes);

/// Returns: the bytes in base64 (RFC 4648, padded).
std::string Base64(std::string_view bytes);

}  // namespace ferment::report
