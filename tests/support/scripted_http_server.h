// SPDX-License-Identifier: Apache-2.0
//
// An HTTP server on loopback that says, byte by byte, what a test has written: answers cut short, slow ones, nonsense.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"

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
};

/// Returns: a whole answer with its length; the connection ends behind it.
ScriptedAnswer HttpText(int status, const std::string& body, const std::string& headers = "");

/// Answers one call a connection, one connection at a time. Thread: any.
class ScriptedHttpServer {
 public:
  /// `answer` gets the call and its number, from 0, on the server's thread.
  explicit ScriptedHttpServer(std::function<ScriptedAnswer(const HttpCall&, std::size_t)> answer);
  ~ScriptedHttpServer();
  ScriptedHttpServer(const ScriptedHttpServer&) = delete;
  ScriptedHttpServer& operator=(const ScriptedHttpServer&) = delete;

  /// Such as http://127.0.0.1:41234.
  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<HttpCall> Calls() const;

 private:
  void Serve();
  void Handle(int connection);

  // Constant after construction.
  const std::function<ScriptedAnswer(const HttpCall&, std::size_t)> answer_;
  int listener_ = -1;
  int port_ = 0;
  // Under mutex_.
  mutable Mutex mutex_;
  std::vector<HttpCall> calls_ FERMENT_GUARDED_BY(mutex_);
  std::vector<int> hanging_ FERMENT_GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace ferment::testing
