// SPDX-License-Identifier: Apache-2.0
//
// What the watches of two ranks say to each other, and the TCP connection that carries it.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "worker/watch/rank_board.h"

namespace ferment::worker {

/// Drawn by rank 0 for one job: tells its ranks from everybody else who finds the port.
using WatchCookie = std::array<std::uint64_t, 2>;

/// One message. Goes over the wire as it lies in memory: the ranks of a job run one program on one kind of machine.
struct WatchFrame {
  enum class Kind : std::uint32_t {
    /// From a rank that connects, and rank 0's answer.
    kHello = 1,
    kWelcome,
    /// Once a second: `sign`.
    kSign,
    /// The sender leaves in good order; with an `exit_code`, it ends the job.
    kFarewell,
    /// From rank 0: leave with `exit_code`.
    kLeave,
    /// To rank 0, from a rank that heard nothing of it for `silent_ms` and leaves for that; `sign` is the last it
    /// heard.
    kNamed,
  };
  WatchCookie cookie = {};
  Kind kind = Kind::kSign;
  std::int32_t rank = 0;
  std::int32_t exit_code = 0;
  RankSign sign = {};
  std::int64_t silent_ms = 0;
};

/// Owns a connected socket. Thread: Send any, the rest one at a time.
class WatchLink {
 public:
  /// Takes over `handle`.
  WatchLink(int handle, const WatchCookie& cookie);
  ~WatchLink();
  WatchLink(const WatchLink&) = delete;
  WatchLink& operator=(const WatchLink&) = delete;

  int handle() const { return handle_; }
  /// Never waits. What cannot be sent is lost: a dead peer shows itself in Receive, a stopped one by its silence.
  void Send(WatchFrame frame) const;
  /// Returns: what has come in since the last call; never waits.
  std::vector<WatchFrame> Receive();
  /// Returns: whether the peer has closed, the connection has failed, or something came that has not our cookie.
  bool closed() const { return closed_; }
  /// Waits for one frame of this kind and drops others. Returns: nothing when it has not come in time.
  std::optional<WatchFrame> Await(WatchFrame::Kind kind, std::chrono::steady_clock::time_point until);

 private:
  const int handle_;
  const WatchCookie cookie_;
  bool closed_ = false;
  /// What has come of the next frame.
  std::array<char, sizeof(WatchFrame)> partial_ = {};
  std::size_t partial_bytes_ = 0;
  /// Came with the frame that Await gave away.
  std::vector<WatchFrame> kept_;
};

/// Owns a socket that listens on all addresses of this host, on a port that the system picks.
class WatchPort {
 public:
  static Result<WatchPort> Open();
  WatchPort(WatchPort&& other) noexcept;
  WatchPort& operator=(WatchPort&&) = delete;
  WatchPort(const WatchPort&) = delete;
  ~WatchPort();

  int handle() const { return handle_; }
  int port() const { return port_; }
  /// Returns: the handle of a connection that waits; -1 if none does.
  int Accept() const;

 private:
  WatchPort(int handle, int port) : handle_(handle), port_(port) {}
  int handle_;
  int port_;
};

/// Returns: numeric addresses of the interfaces that are up, those of the loopback last, link-local ones left out.
std::vector<std::string> AddressesOfThisHost();

/// Returns: the handle of a connection. Errors: Unavailable with the system's words; DeadlineExceeded.
Result<int> ConnectTo(const std::string& address, int port, std::chrono::steady_clock::time_point until);

}  // namespace ferment::worker
