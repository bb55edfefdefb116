// SPDX-License-Identifier: Apache-2.0
#include "common/config/flag_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <vector>

#include "common/base/status.h"

namespace ferment {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Said {
  int code = -1;
  std::string out;
  std::string err;
};

/// Parses as a program with a flag, a required one and a command.
Said Type(const std::vector<const char*>& words) {
  CLI::App app("About it", "program");
  int waiting = 0;
  std::string spec;
  bool json = false;
  app.add_option("--max-waiting", waiting, "How many");
  app.add_option("--spec", spec, "What")->required();
  app.add_subcommand("show", "Look")->add_flag("-j,--json", json, "As JSON");
  std::vector<const char*> argv = {"program"};
  argv.insert(argv.end(), words.begin(), words.end());
  std::ostringstream out;
  std::ostringstream err;
  try {
    app.parse(static_cast<int>(argv.size()), argv.data());
  } catch (const CLI::ParseError& end) {
    const int code = SayWhyNotParsed(app, end, out, err);
    return {code, out.str(), err.str()};
  }
  return {};
}

TEST(FlagErrors, AMistypedFlagGetsTheNearestOneAndIsNotTakenForIt) {
  const Said said = Type({"--spec", "s", "--max-waitin", "9"});
  EXPECT_EQ(said.code, exit_code::kUsage);
  EXPECT_THAT(said.err, HasSubstr("no such flag: --max-waitin; nearest: --max-waiting\n"));
  EXPECT_THAT(Type({"--spec", "s", "--max-wiating=9"}).err, HasSubstr("nearest: --max-waiting\n"));
  EXPECT_THAT(Type({"--spec", "s", "show", "--jsno"}).err, HasSubstr("nearest: --json\n"));
}

TEST(FlagErrors, AlsoWhereWhatWasMeantIsMissed) {
  EXPECT_THAT(Type({"--spek", "s"}).err, HasSubstr("--spec is required"));
  EXPECT_THAT(Type({"--spek", "s"}).err, HasSubstr("no such flag: --spek; nearest: --spec\n"));
}

TEST(FlagErrors, WhatIsLikeNoneGetsNoSuggestion) {
  EXPECT_THAT(Type({"--spec", "s", "--colour"}).err, Not(HasSubstr("nearest")));
  EXPECT_THAT(Type({"--spec", "s", "--json"}).err, Not(HasSubstr("nearest"))) << "it is the command's";
  EXPECT_THAT(Type({"--spec", "s", "-k"}).err, Not(HasSubstr("nearest")));
}

TEST(FlagErrors, HelpIsNoError) {
  const Said said = Type({"--help"});
  EXPECT_EQ(said.code, exit_code::kOk);
  EXPECT_THAT(said.out, HasSubstr("--max-waiting"));
  EXPECT_EQ(said.err, "");
}

}  // namespace
}  // namespace ferment
