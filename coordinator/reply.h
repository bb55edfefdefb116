// SPDX-License-Identifier: Apache-2.0
//
// Whoever asked the scheduler and does not wait: told once, whatever becomes of the question.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "common/base/result.h"

namespace ferment::coordinator {

/// Gets the answer, on any thread; does not wait there for anything.
template <typename Answer>
using Then = std::function<void(Answer)>;

/// Holds what was decided until it is saved. Answer is Status or a Result. Thread: one after the other.
template <typename Answer>
class Reply {
 public:
  explicit Reply(Then<Answer> then) : then_(std::move(then)) {}
  /// A question that was dropped is answered too: gRPC waits for every call that it began.
  ~Reply() {
    if (then_) Send(UnavailableError("the coordinator is stopping"));
  }
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;

  void Decide(Answer answer) { decided_ = std::move(answer); }
  /// Tells what was decided where `saved` is OK, else why not. Once.
  void Send(const Status& saved) {
    const Then<Answer> then = std::exchange(then_, nullptr);
    if (saved.ok()) {
      then(*std::move(decided_));
    } else if constexpr (std::is_same_v<Answer, Status>) {
      then(saved);
    } else {
      then(Fail(saved));
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
