// SPDX-License-Identifier: Apache-2.0
#include "tests/load/attackers.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "tests/load/loaded_coordinator.h"
#include "tests/load/secure_coordinator.h"

namespace ferment::load {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// 127.0.0.2: to a limit of one peer's connections it is another peer than those who work.
constexpr std::uint32_t kAttacker = 0x7f000002;
// What waits in this process must not be what is measured.
constexpr int kMostWaiting = 2'000;
constexpr std::chrono::nanoseconds kLetterEach = 200ms;

Clock::duration Each(double rate) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / rate));
}

/// Who attacks is another machine: of this one's processors it gets what those who work leave.
void StandBack() { (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19); }

bool IsClosed(int handle) {
  char letter = 0;
  const ssize_t got = recv(handle, &letter, 1, MSG_DONTWAIT | MSG_PEEK);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

}  // namespace

struct TokenGuesser::Guess {
  grpc::ClientContext context;
  grpc::Status status;
  v1::ListRunsResponse runs;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::ListRunsResponse>> asking;
};

TokenGuesser::TokenGuesser(const std::string& address, const rpc::CredentialPaths& trust, int channels, double rate) {
  for (int i = 0; i < channels; ++i) runs_.push_back(v1::RunService::NewStub(SecureFiles::Open(address, trust)));
  collector_ = std::jthread([this] { Collect(); });
  guesser_ = std::jthread([this, rate](const std::stop_token& stop) {
    StandBack();
    std::uint64_t number = 0;
    for (auto due = Clock::now(); !stop.stop_requested(); due += Each(rate)) {
      std::this_thread::sleep_until(due);
      if (waiting_ < kMostWaiting) Make(number++);
    }
    queue_.Shutdown();
  });
}

void TokenGuesser::Make(std::uint64_t number) {
  auto guess = std::make_unique<Guess>();
  guess->context.set_deadline(std::chrono::system_clock::now() + 60s);
  guess->context.AddMetadata("authorization", "Bearer guess-" + std::to_string(number));
  ++waiting_;
  // It comes back out of the queue, and is deleted there.
  Guess* const tag = guess.release();
  tag->asking = runs_[number % runs_.size()]->AsyncListRuns(&tag->context, {}, &queue_);
  tag->asking->Finish(&tag->runs, &tag->status, tag);
}

void TokenGuesser::Collect() {
  StandBack();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    const std::unique_ptr<Guess> guess(static_cast<Guess*>(tag));
    --waiting_;
    ++ended_[guess->status.error_code()];
  }
}

std::map<grpc::StatusCode, std::uint64_t> TokenGuesser::Stop() {
  guesser_.request_stop();
  guesser_.join();
  collector_.join();
  return ended_;
}

ConnectionFlood::ConnectionFlood(const std::string& address, std::size_t held, double rate)
    : thread_([this, address, held, rate](const std::stop_token& stop) { Run(stop, address, held, rate); }) {}

void ConnectionFlood::Run(const std::stop_token& stop, const std::string& address, std::size_t held, double rate) {
  StandBack();
  std::deque<int> open;
  for (auto due = Clock::now(); !stop.stop_requested(); due += Each(rate)) {
    std::this_thread::sleep_until(due);
    if (const int handle = ConnectTo(address, kAttacker); handle >= 0) {
      ++opened_;
      open.push_back(handle);
    }
    // The last ones are those that may have been turned away; the first ones those that were silent for too long.
    for (const bool oldest : {true, false}) {
      if (open.empty()) continue;
      const int handle = oldest ? open.front() : open.back();
      const bool closed = IsClosed(handle);
      if (!closed && (!oldest || open.size() <= held)) continue;
      closed_ += closed ? 1 : 0;
      close(handle);
      oldest ? open.pop_front() : open.pop_back();
    }
  }
  for (const int handle : open) {
    closed_ += IsClosed(handle) ? 1 : 0;
    close(handle);
  }
}

SlowRequests::SlowRequests(const std::string& admin, std::size_t count)
    : thread_([this, admin, count](const std::stop_token& stop) { Run(stop, admin, count); }) {}

void SlowRequests::Run(const std::stop_token& stop, const std::string& admin, std::size_t count) {
  StandBack();
  std::vector<int> open(count, -1);
  const auto each = kLetterEach / static_cast<std::int64_t>(count);
  for (auto due = Clock::now(); !stop.stop_requested();) {
    for (int& handle : open) {
      std::this_thread::sleep_until(due += each);
      if (stop.stop_requested()) break;
      if (handle >= 0 && send(handle, "a", 1, MSG_NOSIGNAL) == 1) {
        ++letters_;
        continue;
      }
      if (handle >= 0) ++closed_;
      if (handle >= 0) close(handle);
      handle = ConnectTo(admin, kAttacker);
      if (handle >= 0) (void)send(handle, "GET /livez HTTP/1.1\r\nX-Slow: ", 29, MSG_NOSIGNAL);
    }
  }
  for (const int handle : open) close(handle);
}

}  // namespace ferment::load
