// SPDX-License-Identifier: Apache-2.0
//
// The status page of the admin port: html, script and style as they were at build time.
#pragma once

#include <map>
#include <string>

#include "common/event/admin_server.h"

namespace ferment::coordinator {

/// Returns: a handler for each of the page's paths: "/", "/status.js" and "/status.css". The page reads /api/runs,
/// which the caller serves: {"runs": [RunStatus as proto3 JSON with the field names of the .proto, and "classes"]}.
std::map<std::string, event::HttpHandler> StatusPageHandlers();

}  // namespace ferment::coordinator
