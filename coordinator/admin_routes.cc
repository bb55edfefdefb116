// SPDX-License-Identifier: Apache-2.0
#include "coordinator/admin_routes.h"

#include <utility>

#include "coordinator/page/status_page.h"

namespace ferment::coordinator {

void AdminState::SetWhyNotServing(std::string why) {
  const MutexLock lock(mutex_);
  why_not_ = std::move(why);
}

std::string AdminState::WhyNotServing() const {
  const MutexLock lock(mutex_);
  return why_not_;
}

void AdminState::SetRuns(std::string json) {
  const MutexLock lock(mutex_);
  runs_ = std::move(json);
}

std::string AdminState::Runs() const {
  const MutexLock lock(mutex_);
  return runs_;
}

std::map<std::string, event::HttpHandler> AdminRoutes(const AdminState& state, const metrics::MetricRegistry& registry,
                                                      metrics::ProcessMetrics& process) {
  auto routes = StatusPageHandlers();
  const auto probe = [&state](const event::HttpRequest&) {
    const std::string why_not = state.WhyNotServing();
    return why_not.empty() ? event::HttpReply{.body = "ready\n"}
                           : event::HttpReply{.status = 503, .body = "not serving: " + why_not + "\n"};
  };
  routes["/livez"] = [](const event::HttpRequest&) { return event::HttpReply{.body = "alive\n"}; };
  routes["/readyz"] = probe;
  routes["/startupz"] = probe;
  routes["/metrics"] = [&registry, &process](const event::HttpRequest&) {
    process.Refresh();
    return event::HttpReply{.content_type = metrics::kExpositionType, .body = registry.Exposition()};
  };
  routes["/api/runs"] = [&state](const event::HttpRequest&) {
    return event::HttpReply{.content_type = "application/json", .body = state.Runs()};
  };
  return routes;
}

}  // namespace ferment::coordinator
