// SPDX-License-Identifier: Apache-2.0
//
// The plain HTTP port of a program: metrics, probes and the status page.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/event/event_loop.h"

namespace ferment::event {

struct HttpRequest {
  /// Without the query, such as "/api/runs".
  std::string path;
  /// What follows the question mark; empty if nothing does.
  std::string query;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body = {};
};

/// Runs on the event loop: must not block. An exception that leaves it is answered with 500.
using HttpHandler = std::function<HttpReply(const HttpRequest&)>;

struct AdminServerConfig {
  /// Host and port are numbers; port 0 takes any free one.
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  /// Past this the oldest connection makes room for the new one.
  int max_connections = 64;
  /// A connection that neither sends a whole request nor reads its answer for this long is closed.
  std::chrono::milliseconds timeout{10'000};
};

/// Answers GET and HEAD for the paths it was given; another path is 404, another method 405.
///
/// A key that ends in "/*" answers every path below it. Destroying this ends the accepting; a connection that is open
/// may call a handler until the loop stops, so stop the loop before destroying what the handlers use. Thread: any.
class AdminServer {
 public:
  /// Errors: InvalidArgument (host is not an address), Unavailable with exit code 69 (the port is bound).
  static Result<std::unique_ptr<AdminServer>> Start(EventLoop& loop, const AdminServerConfig& config,
                                                    std::map<std::string, HttpHandler> handlers);
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  /// Returns: "host:port" with the port that was taken.
  const std::string& address() const { return address_; }

 private:
  class Listener;
  AdminServer(std::shared_ptr<Listener> listener, std::string address);

  std::shared_ptr<Listener> listener_;
  std::string address_;
};

}  // namespace ferment::event
