// SPDX-License-Identifier: Apache-2.0
//
// Whoever asked the scheduler and does not wait: told once, whatever becomes of the question.
#pragma once

#include <concepts>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "common/base/result.h"

namespace ferment::coordinator {

/// Whoever waits for an answer.
template <typename Answer>
struct Then {
  /// Gets it, on any thread; does not wait there for anything.
  std::function<void(Answer)> tell;
  /// Whether the answer can reach nobody any more. Any thread, until told. Empty: never.
  std::function<bool()> given_up = {};

  template <std::invocable<Answer> Tell>
  Then(Tell what) : tell(std::move(what)) {}
  Then(std::function<void(Answer)> what, std::function<bool()> whether)
      : tell(std::move(what)), given_up(std::move(whether)) {}
};

/// Holds what was decided until it is saved. Answer is Status or a Result. Thread: one after the other.
template <typename Answer>
class Reply {
 public:
  explicit Reply(Then<Answer> then) : then_(std::move(then)) {}
  /// A question that was dropped is answered too: gRPC waits for every call that it began.
  ~Reply() {
    if (then_.tell) Send(UnavailableError("the coordinator is stopping"));
  }
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;

  bool GivenUp() const { return then_.given_up && then_.given_up(); }
  void Decide(Answer answer) { decided_ = std::move(answer); }
  /// Tells what was decided where `saved` is OK, else why not; Cancelled where nothing was. Once.
  void Send(const Status& saved) {
    const auto tell = std::exchange(then_.tell, nullptr);
    if (saved.ok() && decided_) {
      tell(*std::move(decided_));
      return;
    }
    const Status why = saved.ok() ? CancelledError("its caller had given up before it was decided") : saved;
    if constexpr (std::is_same_v<Answer, Status>) {
      tell(why);
    } else {
      tell(Fail(why));
    }
  }

 private:
  Then<Answer> then_;
  std::optional<Answer> decided_;
};

/// Returns: what `ask` asked for. Waits; never on a thread of the scheduler's.
template <typename Answer>
Answer Await(const std::function<void(Then<Answer>)>& ask) {
  // Shared, since the one who sets it may still hold it when the one who waits has gone on.
  const auto promise = std::make_shared<std::promise<Answer>>();
  std::future<Answer> future = promise->get_future();
  ask([promise](Answer answer) { promise->set_value(std::move(answer)); });
  return future.get();
}

}  // namespace ferment::coordinator
