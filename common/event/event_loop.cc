// SPDX-License-Identifier: Apache-2.0
#include "common/event/event_loop.h"

#include <signal.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>

namespace ferment::event {
namespace asio = boost::asio;

namespace {

void Repeat(std::shared_ptr<asio::steady_timer> timer, std::chrono::milliseconds interval,
            std::shared_ptr<std::function<void()>> handler) {
  timer->expires_after(interval);
  timer->async_wait([timer, interval, handler](const boost::system::error_code& error) {
    if (error) return;
    (*handler)();
    Repeat(timer, interval, handler);
  });
}

void AwaitSignal(std::shared_ptr<asio::signal_set> signals, std::shared_ptr<std::function<void(int)>> handler) {
  signals->async_wait([signals, handler](const boost::system::error_code& error, int number) {
    if (error) return;
    (*handler)(number);
    AwaitSignal(signals, handler);
  });
}

}  // namespace

struct EventLoop::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(context);
  std::jthread thread;
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {
  impl_->thread = std::jthread([&context = impl_->context] { context.run(); });
}

EventLoop::~EventLoop() { Stop(); }

void EventLoop::Post(std::function<void()> handler) { asio::post(impl_->context, std::move(handler)); }

void EventLoop::RunEvery(std::chrono::milliseconds interval, std::function<void()> handler) {
  Repeat(std::make_shared<asio::steady_timer>(impl_->context), interval,
         std::make_shared<std::function<void()>>(std::move(handler)));
}

void EventLoop::OnSignals(std::initializer_list<int> signals, std::function<void(int)> handler) {
  auto set = std::make_shared<asio::signal_set>(impl_->context);
  for (const int number : signals) set->add(number);
  AwaitSignal(std::move(set), std::make_shared<std::function<void(int)>>(std::move(handler)));
}

void EventLoop::Stop() {
  impl_->context.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

asio::io_context& EventLoop::context() { return impl_->context; }

void IgnoreBrokenPipes() { signal(SIGPIPE, SIG_IGN); }

}  // namespace ferment::event
