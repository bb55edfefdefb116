// SPDX-License-Identifier: Apache-2.0
#include "common/event/admin_server.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <list>
#include <optional>

#include "common/base/logging.h"

namespace ferment::event {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

namespace {

// A request is a path and a few headers; more than this is somebody else's protocol.
constexpr std::size_t kMaxHeaderBytes = 16 << 10;
constexpr std::chrono::milliseconds kAcceptPause{100};

using Response = http::response<http::string_body>;

const HttpHandler* FindHandler(const std::map<std::string, HttpHandler>& handlers, const std::string& path) {
  if (const auto exact = handlers.find(path); exact != handlers.end()) return &exact->second;
  for (std::size_t slash = path.rfind('/'); slash != std::string::npos;) {
    if (const auto below = handlers.find(path.substr(0, slash) + "/*"); below != handlers.end()) return &below->second;
    if (slash == 0) break;
    slash = path.rfind('/', slash - 1);
  }
  return nullptr;
}

HttpReply Answer(const std::map<std::string, HttpHandler>& handlers, const http::request<http::empty_body>& request) {
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    return {405, "text/plain; charset=utf-8", "only GET and HEAD\n"};
  }
  const std::string target(request.target());
  const std::size_t mark = target.find('?');
  const HttpRequest parsed{target.substr(0, mark), mark == std::string::npos ? "" : target.substr(mark + 1)};
  const HttpHandler* handler = FindHandler(handlers, parsed.path);
  if (handler == nullptr) return {404, "text/plain; charset=utf-8", "no such page\n"};
  try {
    return (*handler)(parsed);
  } catch (const std::exception& error) {
    LogError("admin.handler_failed", {{"path", parsed.path}, {"error", error.what()}});
    return {500, "text/plain; charset=utf-8", "internal error\n"};
  }
}

Response ToResponse(HttpReply reply, const http::request<http::empty_body>& request) {
  Response response(static_cast<http::status>(reply.status), request.version());
  response.set(http::field::content_type, reply.content_type);
  response.set(http::field::cache_control, "no-store");
  response.set("X-Content-Type-Options", "nosniff");
  if (reply.status == 405) response.set(http::field::allow, "GET, HEAD");
  response.keep_alive(request.keep_alive());
  const std::size_t size = reply.body.size();
  if (request.method() != http::verb::head) response.body() = std::move(reply.body);
  response.content_length(size);
  return response;
}

class Connection;
/// In the order in which they came.
using OpenConnections = std::list<Connection*>;

/// One connection; keeps itself alive through its pending operation. Loop-bound.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, std::chrono::milliseconds timeout,
             std::shared_ptr<const std::map<std::string, HttpHandler>> handlers, std::shared_ptr<OpenConnections> open)
      : stream_(std::move(socket)), timeout_(timeout), handlers_(std::move(handlers)), open_(std::move(open)) {
    place_ = open_->insert(open_->end(), this);
  }
  ~Connection() { Leave(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void Read() {
    parser_.emplace();
    parser_->header_limit(kMaxHeaderBytes);
    // For the whole request: one that comes letter by letter does not last longer.
    stream_.expires_after(timeout_);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](const beast::error_code& error, std::size_t) {
                       if (!error) self->Write();
                     });
  }

  /// What it waits for fails, and nothing holds it any longer.
  void Close() {
    Leave();
    stream_.close();
  }

 private:
  void Leave() {
    if (place_) open_->erase(*place_);
    place_.reset();
  }

  void Write() {
    response_ = ToResponse(Answer(*handlers_, parser_->get()), parser_->get());
    serializer_.emplace(response_);
    const auto written = [self = shared_from_this()](const beast::error_code& error, std::size_t) {
      if (error) return;
      if (self->response_.keep_alive()) return self->Read();
      beast::error_code ignored;
      self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    };
    stream_.expires_after(timeout_);
    if (parser_->get().method() == http::verb::head) {
      http::async_write_header(stream_, *serializer_, written);
    } else {
      http::async_write(stream_, *serializer_, written);
    }
  }

  beast::tcp_stream stream_;
  const std::chrono::milliseconds timeout_;
  const std::shared_ptr<const std::map<std::string, HttpHandler>> handlers_;
  // Shared with the listener.
  const std::shared_ptr<OpenConnections> open_;
  std::optional<OpenConnections::iterator> place_;
  beast::flat_buffer buffer_{kMaxHeaderBytes * 2};
  std::optional<http::request_parser<http::empty_body>> parser_;
  Response response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
};

}  // namespace

/// Accepts connections until closed. Loop-bound; shared because a pending accept holds it.
class AdminServer::Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(asio::io_context& context, const AdminServerConfig& config, std::map<std::string, HttpHandler> handlers)
      : acceptor_(context),
        pause_(context),
        config_(config),
        handlers_(std::make_shared<const std::map<std::string, HttpHandler>>(std::move(handlers))) {}

  Status Open() {
    beast::error_code error;
    const auto host = asio::ip::make_address(config_.host == "localhost" ? "127.0.0.1" : config_.host, error);
    if (error) {
      return InvalidArgumentError("not an IP address to listen on: host=" + config_.host + "; such as 127.0.0.1")
          .WithExitCode(exit_code::kUsage);
    }
    const tcp::endpoint endpoint(host, config_.port);
    acceptor_.open(endpoint.protocol(), error);
    // After a restart the port is taken back at once; a live listener on it is still refused.
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (!error) return {};
    return UnavailableError("cannot listen for HTTP: address=" + config_.host + ":" + std::to_string(config_.port) +
                            " error=" + error.message() + "; choose another port, or 0 for any free one")
        .WithExitCode(exit_code::kMissingService);
  }

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  void Accept() {
    acceptor_.async_accept([self = shared_from_this()](const beast::error_code& error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) return self->AcceptLater();
      // The oldest makes room: silent connections, were there ever so many, must not keep a probe out.
      if (self->open_->size() >= static_cast<std::size_t>(self->config_.max_connections)) self->open_->front()->Close();
      std::make_shared<Connection>(std::move(socket), self->config_.timeout, self->handlers_, self->open_)->Read();
      self->Accept();
    });
  }

  /// Where the process has no file descriptor left, the next attempt fails as this one did.
  void AcceptLater() {
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([self = shared_from_this()](const beast::error_code&) {
      if (self->acceptor_.is_open()) self->Accept();
    });
  }

  void CloseSoon() {
    asio::post(acceptor_.get_executor(), [self = shared_from_this()] {
      beast::error_code ignored;
      self->acceptor_.close(ignored);
    });
  }

 private:
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  const AdminServerConfig config_;
  const std::shared_ptr<const std::map<std::string, HttpHandler>> handlers_;
  const std::shared_ptr<OpenConnections> open_ = std::make_shared<OpenConnections>();
};

Result<std::unique_ptr<AdminServer>> AdminServer::Start(EventLoop& loop, const AdminServerConfig& config,
                                                        std::map<std::string, HttpHandler> handlers) {
  auto listener = std::make_shared<Listener>(loop.context(), config, std::move(handlers));
  FERMENT_RETURN_IF_ERROR(listener->Open());
  const bool v6 = config.host.find(':') != std::string::npos;
  std::string address = (v6 ? "[" + config.host + "]" : config.host) + ":" + std::to_string(listener->port());
  loop.Post([listener] { listener->Accept(); });
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(listener), std::move(address)));
}

AdminServer::AdminServer(std::shared_ptr<Listener> listener, std::string address)
    : listener_(std::move(listener)), address_(std::move(address)) {}

AdminServer::~AdminServer() { listener_->CloseSoon(); }

}  // namespace ferment::event
