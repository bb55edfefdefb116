// SPDX-License-Identifier: Apache-2.0
//
// One thread that runs what is posted to it: timers, sockets and signals of a program.
#pragma once

#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>

namespace boost::asio {
class io_context;
}

namespace ferment::event {

/// Runs handlers one at a time, in order, on its own thread, from construction to Stop.
///
/// Thread: Post, RunEvery, OnSignals and Stop from any; handlers must not block and must not call Stop.
class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void Post(std::function<void()> handler);
  /// Calls `handler` each `interval` until Stop; a late call is not made up for.
  void RunEvery(std::chrono::milliseconds interval, std::function<void()> handler);
  /// Takes these signals from their default action and hands each one that arrives to `handler`.
  void OnSignals(std::initializer_list<int> signals, std::function<void(int)> handler);
  /// Drops what is waiting and joins the thread. A second call does nothing.
  void Stop();

  /// For the other files of common/event.
  boost::asio::io_context& context();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Blocks SIGPIPE's default action, which would end a server when a client hangs up.
void IgnoreBrokenPipes();

}  // namespace ferment::event
