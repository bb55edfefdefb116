// SPDX-License-Identifier: Apache-2.0
//
// An HTTP server on loopback that says, byte by byte, what a test has written: answers cut short, slow ones, nonsense.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

struct ssl_ctx_st;

namespace ferment::testing {

struct HttpCall {
  std::string method;
  std::string target;
  /// Names in lower case.
  std::map<std::string, std::string> headers;
  std::string body;
};

struct ScriptedAnswer {
  std::string bytes;
  /// Afterwards silence in place of the connection's end.
  bool hang = false;
  /// The connection breaks: over TLS, without the farewell that tells an end from a cut.
  bool abrupt = false;
};

/// Who a server over TLS is, by files in PEM.
struct ServerIdentity {
  std::filesystem::path certificate;
  std::filesystem::path private_key;
  /// Speaks TLS 1.1 at most.
  bool outdated = false;
};

/// Returns: a whole answer with its length; the connection ends behind it.
ScriptedAnswer HttpText(int status, const std::string& body, const std::string& headers = "");

/// Returns: what a store answers for the Range that the call asks for, of `object` with the tag "e1".
ScriptedAnswer HttpPart(const HttpCall& call, const std::string& object);

/// Answers one call a connection, one connection at a time. What does not come to a call (a handshake that fails, or
/// one that comes where no TLS is spoken) is a call without a method. Thread: any.
class ScriptedHttpServer {
 public:
  /// `answer` gets the call and its number, from 0, on the server's thread.
  explicit ScriptedHttpServer(std::function<ScriptedAnswer(const HttpCall&, std::size_t)> answer,
                              const std::optional<ServerIdentity>& identity = std::nullopt);
  ~ScriptedHttpServer();
  ScriptedHttpServer(const ScriptedHttpServer&) = delete;
  ScriptedHttpServer& operator=(const ScriptedHttpServer&) = delete;

  /// Such as http://127.0.0.1:41234.
  std::string endpoint() const { return (tls_ ? "https" : "http") + ("://127.0.0.1:" + std::to_string(port_)); }
  int port() const { return port_; }
  std::vector<HttpCall> Calls() const;
  /// Takes no more connections. Returns: all calls, that in its course included.
  std::vector<HttpCall> Finish();

 private:
  class Connection;

  void Serve();
  HttpCall Receive(Connection& connection);
  void Handle(int socket);

  // Constant after construction.
  const std::function<ScriptedAnswer(const HttpCall&, std::size_t)> answer_;
  std::shared_ptr<ssl_ctx_st> tls_;
  int listener_ = -1;
  int port_ = 0;
  // Under mutex_.
  mutable Mutex mutex_;
  std::vector<HttpCall> calls_ FERMENT_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Connection>> hanging_ FERMENT_GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace ferment::testing
