// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with the address of a PostgreSQL database, before anybody connects.
#pragma once

#include <string>

#include "common/base/status.h"

namespace ferment::coordinator {

/// Asks no server. Requires: it begins with postgresql:// or postgres://.
/// Errors: InvalidArgument with exit code 2: a password, in any spelling, of which the message says nothing; what libpq
/// cannot read, or does not know; a port that is none; what is wrong in the PG* variables of the environment.
Status CheckPostgresAddress(const std::string& address);

}  // namespace ferment::coordinator
