// SPDX-License-Identifier: Apache-2.0
#include "worker/watch/watch_meeting.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>
#include <sstream>
#include <utility>

#include "worker/collective/rank_agreement.h"

namespace ferment::worker {
namespace {

using TimePoint = std::chrono::steady_clock::time_point;

/// An address of another network may swallow packets: its share of the wait.
constexpr std::chrono::seconds kAddressDeadline(2);
constexpr std::chrono::seconds kConnectDeadline(15);
/// Longer than a rank tries, so that it is the rank that says what it tried.
constexpr std::chrono::seconds kAcceptDeadline(17);

struct WireName {
  char host[248] = {};
  std::int64_t pid = 0;
};

Result<std::vector<RankName>> GatherNames(Collective& world) {
  WireName mine;
  if (gethostname(mine.host, sizeof(mine.host) - 1) != 0) std::strcpy(mine.host, "unknown");
  mine.pid = getpid();
  std::vector<WireName> all(static_cast<std::size_t>(world.size()));
  FERMENT_RETURN_IF_ERROR(world.AllGather(std::as_bytes(std::span<const WireName>(&mine, 1)),
                                          std::as_writable_bytes(std::span<WireName>(all))));
  std::vector<RankName> names;
  for (const WireName& name : all) names.push_back({name.host, name.pid});
  return names;
}

/// Where rank 0 listens, as it is broadcast: cookie, port, addresses.
struct Whereabouts {
  WatchCookie cookie = {};
  int port = 0;
  std::vector<std::string> addresses;
};

std::string ToText(const Whereabouts& where) {
  std::ostringstream text;
  text << where.cookie[0] << ' ' << where.cookie[1] << ' ' << where.port;
  for (const std::string& address : where.addresses) text << ' ' << address;
  return text.str();
}

Whereabouts FromText(const std::string& text) {
  Whereabouts where;
  std::istringstream words(text);
  words >> where.cookie[0] >> where.cookie[1] >> where.port;
  for (std::string address; words >> address;) where.addresses.push_back(address);
  return where;
}

WatchCookie NewCookie() {
  std::random_device device;
  const auto draw = [&device] { return (std::uint64_t{device()} << 32) | device(); };
  return {draw(), draw()};
}

/// Returns: the link to rank 0.
Result<std::unique_ptr<WatchLink>> Connect(const Whereabouts& where, int rank) {
  const TimePoint until = std::chrono::steady_clock::now() + kConnectDeadline;
  std::string tried;
  for (const std::string& address : where.addresses) {
    const TimePoint now = std::chrono::steady_clock::now();
    if (now >= until) break;
    const TimePoint share = std::min(until, now + kAddressDeadline);
    const auto handle = ConnectTo(address, where.port, share);
    if (!handle) {
      tried += "; " + std::string(handle.error().message());
      continue;
    }
    auto link = std::make_unique<WatchLink>(*handle, where.cookie);
    link->Send({.kind = WatchFrame::Kind::kHello, .rank = rank});
    if (link->Await(WatchFrame::Kind::kWelcome, share)) return link;
    tried += "; " + address + " is not rank 0";
  }
  return Fail(UnavailableError("rank 0 cannot be reached by TCP" + tried));
}

/// Rank 0: collects the others. Connections that do not say hello in time are closed at the end.
class Reception {
 public:
  Reception(const WatchPort& port, const WatchCookie& cookie, int size)
      : port_(port), cookie_(cookie), links_(static_cast<std::size_t>(size)) {}

  Result<std::vector<std::unique_ptr<WatchLink>>> Receive(TimePoint until) {
    while (!Missing().empty()) {
      const TimePoint now = std::chrono::steady_clock::now();
      if (now >= until) return Fail(UnavailableError("ranks did not connect to the watch:" + Missing()));
      std::vector<pollfd> readable = {{port_.handle(), POLLIN, 0}};
      for (const auto& link : strangers_) readable.push_back({link->handle(), POLLIN, 0});
      poll(readable.data(), readable.size(), 100);
      for (int handle = port_.Accept(); handle >= 0; handle = port_.Accept())
        strangers_.push_back(std::make_unique<WatchLink>(handle, cookie_));
      for (auto& link : strangers_) Greet(link);
      std::erase_if(strangers_, [](const auto& link) { return link == nullptr || link->closed(); });
    }
    return std::move(links_);
  }

 private:
  std::string Missing() const {
    std::string missing;
    for (std::size_t r = 1; r < links_.size(); ++r)
      if (links_[r] == nullptr) missing += " " + std::to_string(r);
    return missing;
  }
  void Greet(std::unique_ptr<WatchLink>& link) {
    for (const WatchFrame& frame : link->Receive()) {
      const auto rank = static_cast<std::size_t>(frame.rank);
      if (frame.kind != WatchFrame::Kind::kHello || rank == 0 || rank >= links_.size()) continue;
      link->Send({.kind = WatchFrame::Kind::kWelcome});
      // A rank comes again, by another address, when the answer did not reach it in time.
      links_[rank] = std::move(link);
      return;
    }
  }

  const WatchPort& port_;
  const WatchCookie cookie_;
  std::vector<std::unique_ptr<WatchLink>> links_;
  std::vector<std::unique_ptr<WatchLink>> strangers_;
};

}  // namespace

Result<WatchMeeting> MeetForWatch(Collective& world) {
  const bool leads = world.rank() == 0;
  std::optional<Result<WatchPort>> port;
  Status mine;
  Whereabouts where;
  if (leads) {
    port.emplace(WatchPort::Open());
    if (*port) {
      where = {NewCookie(), (*port)->port(), AddressesOfThisHost()};
    } else {
      mine = port->error();
    }
  }
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(world, mine));
  FERMENT_ASSIGN_OR_RETURN(const std::string text, BroadcastText(world, ToText(where)));
  WatchMeeting meeting;
  FERMENT_ASSIGN_OR_RETURN(meeting.names, GatherNames(world));
  if (leads) {
    auto links =
        Reception(**port, where.cookie, world.size()).Receive(std::chrono::steady_clock::now() + kAcceptDeadline);
    if (links) {
      meeting.links = *std::move(links);
    } else {
      mine = links.error();
    }
  } else {
    auto link = Connect(FromText(text), world.rank());
    if (link) {
      meeting.links.push_back(*std::move(link));
    } else {
      mine = link.error();
    }
  }
  FERMENT_RETURN_IF_ERROR(AgreeOnStatus(world, mine));
  return meeting;
}

}  // namespace ferment::worker
