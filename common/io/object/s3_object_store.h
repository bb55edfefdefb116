// SPDX-License-Identifier: Apache-2.0
//
// A bucket of Amazon S3, or of a store that speaks its protocol (MinIO, Ceph, R2 ...), behind the ObjectStore port.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "common/base/clock.h"
#include "common/io/object/object_store.h"
#include "common/io/object/object_url.h"
#include "common/io/object/s3_settings.h"

namespace ferment::io {

/// Reads the credentials; asks the store nothing yet. A request is made again where the store is busy, silent or broken
/// off, and where the credentials file has others by now than those that the store refused. `clock` outlives it.
/// Errors: those of ReadS3Credentials.
Result<std::unique_ptr<ObjectStore>> OpenS3Bucket(const S3Settings& settings, const std::string& bucket,
                                                  const Clock& clock = SystemClock());

/// Opens the bucket of a place by the environment's settings. `stop`: S3Settings::stop. Errors: those of
/// S3SettingsFromEnvironment too.
Result<std::shared_ptr<ObjectStore>> OpenObjectStore(const ObjectUrl& url, const std::stop_token& stop = {});

/// Returns: the whole object. Errors: those of Head and Read; ResourceExhausted (65) past `max_bytes`.
Result<std::vector<std::byte>> ReadObject(ObjectStore& store, const std::string& key, std::uint64_t max_bytes);

}  // namespace ferment::io
