// SPDX-License-Identifier: Apache-2.0
#include "common/event/event_loop.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <future>
#include <thread>

namespace ferment::event {
namespace {

TEST(EventLoop, RunsWhatIsPostedInOrderOnItsOwnThread) {
  EventLoop loop;
  std::string order;
  std::promise<std::thread::id> last;
  loop.Post([&order] { order += "a"; });
  loop.Post([&order, &last] {
    order += "b";
    last.set_value(std::this_thread::get_id());
  });
  EXPECT_NE(last.get_future().get(), std::this_thread::get_id());
  EXPECT_EQ(order, "ab");
}

TEST(EventLoop, RepeatsUntilItIsStopped) {
  EventLoop loop;
  std::promise<void> third;
  int calls = 0;
  loop.RunEvery(std::chrono::milliseconds(1), [&] {
    if (++calls == 3) third.set_value();
  });
  third.get_future().wait();
  loop.Stop();
  const int then = calls;
  EXPECT_GE(then, 3);
}

TEST(EventLoop, HandsASignalToItsHandlerInsteadOfEndingTheProcess) {
  EventLoop loop;
  std::promise<int> arrived;
  loop.OnSignals({SIGUSR1}, [&arrived](int number) { arrived.set_value(number); });
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(arrived.get_future().get(), SIGUSR1);
}

TEST(EventLoop, StopsTwice) {
  EventLoop loop;
  loop.Stop();
  loop.Stop();
}

}  // namespace
}  // namespace ferment::event
