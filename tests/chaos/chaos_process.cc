// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/chaos_process.h"

#include <csignal>

#include "common/base/check.h"
#include "common/event/process_record.h"

namespace ferment::chaos {

void ChaosProcess::Start() {
  auto started = event::ChildProcess::Start({.argv = recipe_.argv, .env = recipe_.env, .output = recipe_.output});
  FERMENT_CHECK(started.has_value()) << started.error().ToString();
  process_ = std::move(*started);
  last_pid_ = process_->pid();
  leaving_since_.reset();
  started_ = std::chrono::steady_clock::now();
  ++starts_;
}

std::optional<int> ChaosProcess::Tick(Instant now) {
  if (!process_) {
    if (now >= start_at_) Start();
    return std::nullopt;
  }
  if (const auto code = process_->Poll()) {
    process_.reset();
    continue_at_.reset();
    return code;
  }
  if (continue_at_ && now >= *continue_at_) Continue();
  if (!continue_at_ && recipe_.ends_own_stop > std::chrono::milliseconds(0)) {
    const auto stat = event::ReadProcessStat(process_->pid());
    if (stat && stat->state == 'T') continue_at_ = now + recipe_.ends_own_stop;
  }
  return std::nullopt;
}

void ChaosProcess::Kill() {
  if (process_) process_->Signal(SIGKILL);
}

void ChaosProcess::StopUntil(Instant when) {
  if (!process_) return;
  process_->Signal(SIGSTOP);
  continue_at_ = when;
}

void ChaosProcess::Continue() {
  if (process_) process_->Signal(SIGCONT);
  continue_at_.reset();
}

void ChaosProcess::TellToLeave(Instant now) {
  if (!process_) return;
  Continue();
  process_->Signal(SIGTERM);
  leaving_since_ = now;
}

std::optional<int> ChaosProcess::Leave(std::chrono::milliseconds grace) {
  if (!process_) return 0;
  Continue();
  process_->Signal(SIGTERM);
  const auto code = process_->WaitFor(grace);
  if (code) process_.reset();
  return code;
}

}  // namespace ferment::chaos
