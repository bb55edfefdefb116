// SPDX-License-Identifier: Apache-2.0
#include "coordinator/page/status_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace ferment::coordinator {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Source(const std::string& name) {
  std::ifstream stream(std::string(FERMENT_SOURCE_DIR) + "/coordinator/page/" + name);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

TEST(StatusPage, ServesItsFilesByteForByte) {
  const auto handlers = StatusPageHandlers();
  const std::pair<const char*, const char*> files[] = {
      {"/", "status.html"}, {"/status.js", "status.js"}, {"/status.css", "status.css"}};
  for (const auto& [path, name] : files) {
    ASSERT_TRUE(handlers.contains(path));
    const std::string body = handlers.at(path)({path, ""}).body;
    EXPECT_FALSE(body.empty());
    EXPECT_EQ(body, Source(name));
  }
}

TEST(StatusPage, AsksNobodyOutside) {
  for (const auto& [path, handler] : StatusPageHandlers()) {
    std::string body = handler({path, ""}).body;
    // The name of SVG's namespace is not an address.
    const std::string name = "http://www.w3.org/2000/svg";
    for (std::size_t at = body.find(name); at != std::string::npos; at = body.find(name)) body.erase(at, name.size());
    EXPECT_THAT(body, Not(HasSubstr("://"))) << path;
    EXPECT_THAT(body, Not(HasSubstr("@import"))) << path;
  }
}

}  // namespace
}  // namespace ferment::coordinator
