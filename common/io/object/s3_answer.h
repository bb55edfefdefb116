// SPDX-License-Identifier: Apache-2.0
//
// What an S3-compatible store answers: its errors as Status, its lists as ObjectPage.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/io/object/http_client.h"
#include "common/io/object/object_store.h"

namespace ferment::io {

/// Returns: the code in an error's document, such as "NoSuchKey"; "" where there is none, as for HEAD.
std::string S3ErrorCode(const HttpAnswer& answer);

/// Returns: the object's etag without its quotes; "" where the answer has none.
std::string EtagIn(const HttpAnswer& answer);

/// Returns: where the part of the object begins that the answer says it is.
std::optional<std::uint64_t> RangeBegin(const HttpAnswer& answer);

/// Whether the same request may do better a little later.
bool IsPassing(const HttpAnswer& answer);

/// Returns: the failure that the answer is, with HTTP status, code and message of the store; `now` tells how far the
/// store's clock is. Requires: the answer is one.
Status S3Failure(const HttpAnswer& answer, WallTime now);

/// Returns: the page in a document of ListObjectsV2. Errors: DataLoss where it is none.
Result<ObjectPage> ParseObjectPage(std::string_view document);

}  // namespace ferment::io
