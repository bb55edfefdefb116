// SPDX-License-Identifier: Apache-2.0
#include "coordinator/core/suspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ferment::coordinator {
namespace {

using ::testing::HasSubstr;

bool NobodyReturns(std::string_view) { return false; }

Labeler One(const std::string& name, const std::string& host, bool trusted = false) {
  Labeler labeler;
  labeler.labeler_id = name + "/1";
  labeler.name = name;
  labeler.host = host;
  labeler.trusted = trusted;
  return labeler;
}

std::vector<Death> DeathsAlone(const std::vector<std::string>& labelers, const std::string& host) {
  std::vector<Death> deaths;
  for (const std::string& labeler : labelers) deaths.push_back({labeler, host, true, 0});
  return deaths;
}

TEST(Suspect, GoesFirstToOneOfAnotherHostWhereNobodyHasProvedHimself) {
  const auto deaths = DeathsAlone({"c/1"}, "host-1");
  const Labeler c = One("c", "host-1");
  const Labeler d = One("d", "host-1");
  const Labeler e = One("e", "host-2");
  const std::vector<Present> all = {{&c, false}, {&d, false}, {&e, false}};
  EXPECT_FALSE(MayTryAlone(deaths, c, all, NobodyReturns));
  EXPECT_FALSE(MayTryAlone(deaths, d, all, NobodyReturns)) << "e is of another host";
  EXPECT_TRUE(MayTryAlone(deaths, e, all, NobodyReturns));
  EXPECT_TRUE(MayTryAlone(deaths, d, {{&c, false}, {&d, false}}, NobodyReturns)) << "another name is better than none";
  EXPECT_FALSE(MayTryAlone(deaths, c, {{&c, false}, {&d, false}}, NobodyReturns));
}

TEST(Suspect, WaitsForNobodyOfAHostThatHasSaidAllThatItCan) {
  const auto deaths = DeathsAlone({"c/1", "c/2", "c/3", "c/4"}, "host-1");
  const Labeler d = One("d", "host-1", /*trusted=*/true);
  const Labeler e = One("e", "host-2");
  const Labeler f = One("f", "host-3", /*trusted=*/true);
  EXPECT_FALSE(MayTryAlone(deaths, d, {{&d, false}}, NobodyReturns));
  EXPECT_TRUE(MayTryAlone(deaths, e, {{&d, true}, {&e, false}}, NobodyReturns));
  EXPECT_FALSE(MayTryAlone(deaths, e, {{&e, false}, {&f, false}}, NobodyReturns)) << "f has proved itself";
}

TEST(Suspect, ALabelerThatNamesNoHostIsAHostOfItsOwn) {
  EXPECT_TRUE(IsToBlame(DeathsAlone({"c/1", "c/2", "c/3", "d/1"}, ""), {}, NobodyReturns));
  const Labeler e = One("e", "");
  EXPECT_FALSE(IsToBlame(DeathsAlone({"c/1", "c/2", "c/3", "c/4"}, ""), {&e}, NobodyReturns)) << "e has not tried it";
  EXPECT_TRUE(IsToBlame(DeathsAlone({"c/1", "c/2", "c/3", "d/1"}, ""), {&e}, NobodyReturns));
}

TEST(Suspect, TellsAPersonWhichRecordsAndWhoDiedWhere) {
  const std::vector<Death> deaths = {{"c/1", "host-1", false, 0}, {"d/7", "", true, 3}};
  const std::string shard = DeathsText(4, {"", 40, 10}, deaths);
  EXPECT_THAT(shard, HasSubstr("shard 4 kills its labelers: first_record=40 record_count=10 deaths=2 (c on host-1, "
                               "d on a host that it did not name alone with it)"));
  EXPECT_THAT(DeathsText(4, {"clip-3", 0, 10}, deaths), HasSubstr("video=clip-3 record_count=10"));
}

}  // namespace
}  // namespace ferment::coordinator
