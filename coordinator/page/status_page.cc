// SPDX-License-Identifier: Apache-2.0
#include "coordinator/page/status_page.h"

#include <string_view>

// NOLINTBEGIN(readability-identifier-naming): ferment_embed names them as C does.
extern const char ferment_status_html[];
extern const unsigned long ferment_status_html_size;
extern const char ferment_status_js[];
extern const unsigned long ferment_status_js_size;
extern const char ferment_status_css[];
extern const unsigned long ferment_status_css_size;
// NOLINTEND(readability-identifier-naming)

namespace ferment::coordinator {
namespace {

event::HttpHandler FileHandler(const char* content_type, std::string_view content) {
  return [content_type, content](const event::HttpRequest&) {
    return event::HttpReply{200, content_type, std::string(content)};
  };
}

}  // namespace

std::map<std::string, event::HttpHandler> StatusPageHandlers() {
  return {
      {"/", FileHandler("text/html; charset=utf-8", {ferment_status_html, ferment_status_html_size})},
      {"/status.js", FileHandler("text/javascript; charset=utf-8", {ferment_status_js, ferment_status_js_size})},
      {"/status.css", FileHandler("text/css; charset=utf-8", {ferment_status_css, ferment_status_css_size})},
  };
}

}  // namespace ferment::coordinator
