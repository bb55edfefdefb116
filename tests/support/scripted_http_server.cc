// SPDX-License-Identifier: Apache-2.0
#include "tests/support/scripted_http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <utility>

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

std::shared_ptr<SSL_CTX> MakeTls(const ServerIdentity& identity) {
  std::shared_ptr<SSL_CTX> tls(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  EXPECT_EQ(SSL_CTX_use_certificate_chain_file(tls.get(), identity.certificate.c_str()), 1) << identity.certificate;
  EXPECT_EQ(SSL_CTX_use_PrivateKey_file(tls.get(), identity.private_key.c_str(), SSL_FILETYPE_PEM), 1);
  if (!identity.outdated) return tls;
  EXPECT_EQ(SSL_CTX_set_cipher_list(tls.get(), "DEFAULT@SECLEVEL=0"), 1);
  EXPECT_EQ(SSL_CTX_set_min_proto_version(tls.get(), TLS1_VERSION), 1);
  EXPECT_EQ(SSL_CTX_set_max_proto_version(tls.get(), TLS1_1_VERSION), 1);
  return tls;
}

/// A write to somebody who has gone is an error of the write. For this thread alone: the client under test must not
/// need it.
void BlockBrokenPipes() {
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
}

}  // namespace

/// A socket, or TLS on it. Owns the socket.
class ScriptedHttpServer::Connection {
 public:
  Connection(int socket, SSL_CTX* tls) : socket_(socket), tls_(tls == nullptr ? nullptr : SSL_new(tls)) {
    if (!tls_) return;
    SSL_set_fd(tls_.get(), socket_);
    SSL_set_accept_state(tls_.get());
  }
  ~Connection() { close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Returns: how many bytes, none or less where no more come or go.
  int Read(char* into, int size) {
    return tls_ ? SSL_read(tls_.get(), into, size)
                : static_cast<int>(recv(socket_, into, static_cast<std::size_t>(size), 0));
  }
  int Write(const char* from, int size) {
    return tls_ ? SSL_write(tls_.get(), from, size)
                : static_cast<int>(send(socket_, from, static_cast<std::size_t>(size), 0));
  }
  void End() {
    if (tls_) SSL_shutdown(tls_.get());
    shutdown(socket_, SHUT_WR);
  }
  void Break() { shutdown(socket_, SHUT_RDWR); }

 private:
  struct FreeTls {
    void operator()(SSL* tls) const { SSL_free(tls); }
  };
  const int socket_;
  const std::unique_ptr<SSL, FreeTls> tls_;
};

ScriptedAnswer HttpText(int status, const std::string& body, const std::string& headers) {
  return {"HTTP/1.1 " + std::to_string(status) + " Scripted\r\nConnection: close\r\n" + headers +
              "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body,
          false};
}

ScriptedAnswer HttpPart(const HttpCall& call, const std::string& object) {
  std::size_t begin = 0;
  std::size_t end = 0;
  EXPECT_EQ(sscanf(call.headers.at("range").c_str(), "bytes=%zu-%zu", &begin, &end), 2);
  return HttpText(206, object.substr(begin, end + 1 - begin),
                  "ETag: \"e1\"\r\nContent-Range: bytes " + std::to_string(begin) + "-" + std::to_string(end) + "/" +
                      std::to_string(object.size()) + "\r\n");
}

ScriptedHttpServer::ScriptedHttpServer(std::function<ScriptedAnswer(const HttpCall&, std::size_t)> answer,
                                       const std::optional<ServerIdentity>& identity)
    : answer_(std::move(answer)) {
  if (identity) tls_ = MakeTls(*identity);
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
  Finish();
  close(listener_);
}

std::vector<HttpCall> ScriptedHttpServer::Finish() {
  shutdown(listener_, SHUT_RDWR);
  if (thread_.joinable()) thread_.join();
  return Calls();
}

std::vector<HttpCall> ScriptedHttpServer::Calls() const {
  const MutexLock lock(mutex_);
  return calls_;
}

void ScriptedHttpServer::Serve() {
  BlockBrokenPipes();
  while (true) {
    const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return;
    Handle(socket);
  }
}

HttpCall ScriptedHttpServer::Receive(Connection& connection) {
  constexpr char kTlsHandshake = 0x16;
  std::string text;
  char part[4096];
  std::size_t end = std::string::npos;
  HttpCall call;
  std::size_t length = 0;
  while (end == std::string::npos || text.size() < end + 4 + length) {
    const int got = connection.Read(part, sizeof(part));
    if (got <= 0) break;
    text.append(part, static_cast<std::size_t>(got));
    if (text.front() == kTlsHandshake) break;
    if (end == std::string::npos && (end = text.find("\r\n\r\n")) != std::string::npos) {
      call = ParseHead(text.substr(0, end + 2));
      const auto found = call.headers.find("content-length");
      if (found != call.headers.end()) length = std::stoul(found->second);
    }
  }
  if (end != std::string::npos) call.body = text.substr(end + 4);
  return call;
}

void ScriptedHttpServer::Handle(int socket) {
  auto connection = std::make_unique<Connection>(socket, tls_.get());
  const HttpCall call = Receive(*connection);
  std::size_t number = 0;
  {
    const MutexLock lock(mutex_);
    number = calls_.size();
    calls_.push_back(call);
  }
  if (tls_ != nullptr && call.method.empty()) return;
  const ScriptedAnswer answer = answer_(call, number);
  for (std::size_t sent = 0; sent < answer.bytes.size();) {
    const int wrote = connection->Write(answer.bytes.data() + sent, static_cast<int>(answer.bytes.size() - sent));
    if (wrote <= 0) break;
    sent += static_cast<std::size_t>(wrote);
  }
  if (answer.hang) {
    const MutexLock lock(mutex_);
    hanging_.push_back(std::move(connection));
  } else if (answer.abrupt) {
    connection->Break();
  } else {
    connection->End();
  }
}

}  // namespace ferment::testing
