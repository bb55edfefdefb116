// SPDX-License-Identifier: Apache-2.0
#include "tests/chaos/fault_relay.h"

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <set>

namespace ferment::chaos {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

/// How often a held chunk looks whether it may go on.
constexpr milliseconds kLook{10};

tcp::endpoint Loopback(std::uint16_t port) { return {boost::asio::ip::address_v4::loopback(), port}; }

void End(tcp::socket& socket, CutKind kind) {
  error_code ignored;
  if (kind == CutKind::kReset) socket.set_option(boost::asio::socket_base::linger(true, 0), ignored);
  socket.close(ignored);
}

/// One client's connection and the one that goes on from it.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::io_context& io, tcp::socket client, std::shared_ptr<const LinkFaults> faults)
      : client_(std::move(client)), server_(io), to_server_(io), to_client_(io), faults_(std::move(faults)) {}

  void ConnectTo(std::uint16_t port) {
    server_.async_connect(Loopback(port), [self = shared_from_this()](const error_code& error) {
      if (error) return self->Cut(CutKind::kReset);
      error_code ignored;
      self->client_.set_option(tcp::no_delay(true), ignored);
      self->server_.set_option(tcp::no_delay(true), ignored);
      self->Read(self->to_server_, self->client_, self->server_);
      self->Read(self->to_client_, self->server_, self->client_);
    });
  }
  void Cut(CutKind kind) {
    End(client_, kind);
    End(server_, kind);
    to_server_.timer.cancel();
    to_client_.timer.cancel();
  }
  bool open() const { return client_.is_open(); }

 private:
  struct Direction {
    explicit Direction(boost::asio::io_context& io) : timer(io) {}
    boost::asio::steady_timer timer;
    std::array<char, 16'384> bytes{};
    std::size_t count = 0;
  };

  void Read(Direction& direction, tcp::socket& from, tcp::socket& to) {
    from.async_read_some(boost::asio::buffer(direction.bytes), [self = shared_from_this(), &direction, &from, &to](
                                                                   const error_code& error, std::size_t count) {
      if (error) return self->Cut(CutKind::kClose);
      direction.count = count;
      self->WaitThenWrite(direction, from, to, self->faults_->delay);
    });
  }
  bool Held(const Direction& direction) const {
    return &direction == &to_server_ ? faults_->hold_to_server : faults_->hold_to_client;
  }
  void WaitThenWrite(Direction& direction, tcp::socket& from, tcp::socket& to, milliseconds wait) {
    if (wait == milliseconds(0) && !Held(direction)) return Write(direction, from, to);
    direction.timer.expires_after(std::max(wait, milliseconds(1)));
    direction.timer.async_wait([self = shared_from_this(), &direction, &from, &to](const error_code& error) {
      if (error || !self->open()) return;
      if (self->Held(direction)) return self->WaitThenWrite(direction, from, to, kLook);
      self->Write(direction, from, to);
    });
  }
  void Write(Direction& direction, tcp::socket& from, tcp::socket& to) {
    boost::asio::async_write(to, boost::asio::buffer(direction.bytes.data(), direction.count),
                             [self = shared_from_this(), &direction, &from, &to](const error_code& error, std::size_t) {
                               if (error) return self->Cut(CutKind::kClose);
                               self->Read(direction, from, to);
                             });
  }

  tcp::socket client_;
  tcp::socket server_;
  Direction to_server_;
  Direction to_client_;
  const std::shared_ptr<const LinkFaults> faults_;
};

}  // namespace

struct FaultRelay::Impl : std::enable_shared_from_this<Impl> {
  Impl(boost::asio::io_context& context, std::function<std::uint16_t()> chosen)
      : io(context), target(std::move(chosen)), acceptor(context, Loopback(0)) {
    address = "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
  }

  void Accept() {
    acceptor.async_accept([self = shared_from_this()](const error_code& error, tcp::socket client) {
      if (error) return;
      self->Take(std::move(client));
      self->Accept();
    });
  }
  void Take(tcp::socket client) {
    ++connections;
    std::erase_if(open, [](const auto& one) { return !one->open(); });
    const std::uint16_t port = faults->refuse ? 0 : target();
    if (port == 0) return End(client, CutKind::kReset);
    const auto connection = std::make_shared<Connection>(io, std::move(client), faults);
    open.insert(connection);
    connection->ConnectTo(port);
  }
  void Cut(CutKind kind) {
    for (const auto& connection : open) connection->Cut(kind);
    open.clear();
  }

  boost::asio::io_context& io;
  const std::function<std::uint16_t()> target;
  tcp::acceptor acceptor;
  std::string address;
  std::atomic<std::uint64_t> connections{0};
  // Touched on the loop alone.
  const std::shared_ptr<LinkFaults> faults = std::make_shared<LinkFaults>();
  std::set<std::shared_ptr<Connection>> open;
};

Result<std::unique_ptr<FaultRelay>> FaultRelay::Start(event::EventLoop& loop, std::function<std::uint16_t()> target) {
  try {
    auto impl = std::make_shared<Impl>(loop.context(), std::move(target));
    loop.Post([impl] { impl->Accept(); });
    return std::unique_ptr<FaultRelay>(new FaultRelay(std::move(impl)));
  } catch (const boost::system::system_error& error) {
    return Fail(UnavailableError(std::string("no port for a relay: error=") + error.what()));
  }
}

FaultRelay::~FaultRelay() {
  std::promise<void> done;
  boost::asio::post(impl_->io, [this, &done] {
    error_code ignored;
    impl_->acceptor.close(ignored);
    impl_->Cut(CutKind::kClose);
    done.set_value();
  });
  done.get_future().wait();
}

std::string FaultRelay::address() const { return impl_->address; }

void FaultRelay::Set(const LinkFaults& faults) {
  boost::asio::post(impl_->io, [impl = impl_, faults] { *impl->faults = faults; });
}

void FaultRelay::CutAll(CutKind kind) {
  boost::asio::post(impl_->io, [impl = impl_, kind] { impl->Cut(kind); });
}

std::uint64_t FaultRelay::connections() const { return impl_->connections; }

}  // namespace ferment::chaos
