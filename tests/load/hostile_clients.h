// SPDX-License-Identifier: Apache-2.0
//
// Clients that want nothing, read nothing, never end, or send what is too much.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ferment/v1/run_service.grpc.pb.h"

namespace ferment::load {

/// Opens `count` connections, `at_a_time` of them open together; a third of them greet as HTTP/2 does, a third send the
/// half of it, a third nothing.
void OpenAndCloseConnections(const std::string& address, int count, int at_a_time);

/// Connections to the admin port that never finish a request, until destruction.
class SilentConnections {
 public:
  SilentConnections(const std::string& address, int count);
  ~SilentConnections();
  SilentConnections(const SilentConnections&) = delete;
  SilentConnections& operator=(const SilentConnections&) = delete;

 private:
  std::vector<int> handles_;
};

/// Streams that are opened and never read, until destruction: half of them follow the run, half read a job's log.
class SilentReaders {
 public:
  SilentReaders(const std::string& address, int count);
  ~SilentReaders();
  SilentReaders(const SilentReaders&) = delete;
  SilentReaders& operator=(const SilentReaders&) = delete;

 private:
  struct Stream;
  std::vector<std::unique_ptr<Stream>> streams_;
};

/// A request of this many bytes. Returns: how it ended.
grpc::Status SubmitBytes(const std::string& address, std::size_t bytes);
/// A call whose metadata has a value of this many bytes. Returns: how it ended.
grpc::Status SendMetadata(const std::string& address, std::size_t bytes);
/// `count` calls at once of "/package.Service/Method", each with these bytes in place of a message. Returns: how they
/// ended.
std::vector<grpc::Status> CallRaw(const std::string& address, const std::string& method, std::string_view bytes,
                                  int count);
/// SubmitRun with these bytes in place of a message. Returns: how it ended.
grpc::Status SubmitRaw(const std::string& address, std::string_view bytes);

}  // namespace ferment::load
