// SPDX-License-Identifier: Apache-2.0
//
// What `ferment doctor` looks at for a coordinator that others reach: its ports and its certificates.
#pragma once

#include <optional>
#include <string>

#include "cli/doctor/doctor_finding.h"
#include "common/rpc/credentials/credential_paths.h"
#include "common/rpc/listen_address.h"

namespace ferment::cli {

/// Whether `wanted`, as ferment-coordinator's `flag` ("listen" or "admin") takes it, can be listened on; who holds the
/// port where not. A coordinator that holds it is as it should be.
Finding CheckPort(const std::string& flag, const rpc::ListenAddress& wanted);

/// Certificate, key and authorities of a --tls-dir, whom they serve, how long they are good, and whether the
/// certificate was revoked.
Finding CheckCertificates(const rpc::CredentialFlags& flags);

/// How many certificates its revocation list has, and when it should be replaced by a newer one; nothing where there is
/// no list, or one that is no good, which CheckCertificates tells.
std::optional<Finding> CheckRevocations(const rpc::CredentialFlags& flags);

}  // namespace ferment::cli
