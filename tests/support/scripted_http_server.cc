// SPDX-License-Identifier: Apache-2.0
#include "tests/support/scripted_http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

namespace ferment::testing {
namespace {

HttpCall ParseHead(const std::string& head) {
  HttpCall call;
  std::istringstream lines(head);
  std::string line;
  std::getline(lines, line);
  std::istringstream(line) >> call.method >> call.target;
  while (std::getline(lines, line) && line.size() > 1) {
    const std::size_t colon = line.find(':');
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    const std::size_t begin = line.find_first_not_of(' ', colon + 1);
    if (begin != std::string::npos) call.headers[name] = line.substr(begin, line.find_last_not_of("\r") + 1 - begin);
  }
  return call;
}

}  // namespace

ScriptedAnswer HttpText(int status, const std::string& body, const std::string& headers) {
  return {"HTTP/1.1 " + std::to_string(status) + " Scripted\r\nConnection: close\r\n" + headers +
              "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body,
          false};
}

ScriptedHttpServer::ScriptedHttpServer(std::function<ScriptedAnswer(const HttpCall&, std::size_t)> answer)
    : answer_(std::move(answer)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(listen(listener_, 64), 0);
  EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::jthread([this] { Serve(); });
}

ScriptedHttpServer::~ScriptedHttpServer() {
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
  for (const int connection : hanging_) close(connection);
}

std::vector<HttpCall> ScriptedHttpServer::Calls() const {
  const MutexLock lock(mutex_);
  return calls_;
}

void ScriptedHttpServer::Serve() {
  while (true) {
    const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    Handle(connection);
  }
}

void ScriptedHttpServer::Handle(int connection) {
  std::string text;
  char part[4096];
  std::size_t end = std::string::npos;
  HttpCall call;
  std::size_t length = 0;
  while (end == std::string::npos || text.size() < end + 4 + length) {
    const ssize_t got = recv(connection, part, sizeof(part), 0);
    if (got <= 0) break;
    text.append(part, static_cast<std::size_t>(got));
    if (end == std::string::npos && (end = text.find("\r\n\r\n")) != std::string::npos) {
      call = ParseHead(text.substr(0, end + 2));
      const auto found = call.headers.find("content-length");
      if (found != call.headers.end()) length = std::stoul(found->second);
    }
  }
  if (end != std::string::npos) call.body = text.substr(end + 4);
  std::size_t number = 0;
  {
    const MutexLock lock(mutex_);
    number = calls_.size();
    calls_.push_back(call);
  }
  const ScriptedAnswer answer = answer_(call, number);
  for (std::size_t sent = 0; sent < answer.bytes.size();) {
    const ssize_t wrote = send(connection, answer.bytes.data() + sent, answer.bytes.size() - sent, MSG_NOSIGNAL);
    if (wrote <= 0) break;
    sent += static_cast<std::size_t>(wrote);
  }
  if (answer.hang) {
    const MutexLock lock(mutex_);
    hanging_.push_back(connection);
  } else {
    shutdown(connection, SHUT_WR);
    close(connection);
  }
}

}  // namespace ferment::testing
