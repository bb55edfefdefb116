// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/revocation_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/rpc/credentials/certificate_maker.h"
#include "tests/support/test_certificates.h"

namespace ferment::rpc {
namespace {

using ferment::testing::FromHours;
using ::testing::HasSubstr;

/// An authority, as many of which as a test likes have the same name.
class ListedAuthority {
 public:
  ListedAuthority() : key_(MakeAuthority("test CA", FromHours(-1, 24)).value()) {}

  std::string Issue() const {
    return IssueCertificate(key_, {"client", "spiffe://t/ferment/labeler", {}, FromHours(-1, 24)}).value().certificate;
  }
  std::string List(std::vector<std::string> revoked, const std::string& former = "") const {
    return MakeRevocationList(key_, former, revoked, FromHours(-1, 24)).value();
  }
  const KeyAndCertificate& key() const { return key_; }
  const std::string& certificate() const { return key_.certificate; }

 private:
  const KeyAndCertificate key_;
};

std::string Refusal(const std::string& lists, const std::string& authorities) {
  const auto read = RevocationLists::Read(lists, authorities);
  return read ? "" : std::string(read.error().message());
}

TEST(RevocationList, RevokesWhoStandsInItAndNobodyElse) {
  const ListedAuthority authority;
  const std::string stolen = authority.Issue();
  const std::string good = authority.Issue();
  const auto lists = RevocationLists::Read(authority.List({stolen}), authority.certificate());
  ASSERT_TRUE(lists) << lists.error().message();
  EXPECT_EQ(lists->size(), 1U);
  EXPECT_TRUE(lists->RevokeAnyOf(stolen));
  EXPECT_FALSE(lists->RevokeAnyOf(good));
  EXPECT_TRUE(lists->RevokeAnyOf(good + stolen)) << "as between a caller and its authority";
  EXPECT_TRUE(lists->RevokeAnyOf("not a certificate"));
  EXPECT_FALSE(RevocationLists().RevokeAnyOf(stolen));
}

TEST(RevocationList, GrowsAndKeepsWhoStoodInItBefore) {
  const ListedAuthority authority;
  const std::string first = authority.Issue();
  const std::string second = authority.Issue();
  std::string list = authority.List({first});
  list = authority.List({second, first, second}, list);
  list = authority.List({}, list);
  const auto lists = RevocationLists::Read(list, authority.certificate());
  ASSERT_TRUE(lists) << lists.error().message();
  EXPECT_EQ(lists->size(), 2U);
  EXPECT_TRUE(lists->RevokeAnyOf(first));
  EXPECT_TRUE(lists->RevokeAnyOf(second));
  const auto until = lists->next_update();
  ASSERT_TRUE(until);
  EXPECT_LT(*until - FromHours(0, 24).until, std::chrono::minutes(1));
}

TEST(RevocationList, OfAnAuthorityThatIsNotTrustedIsLeftOutAlsoWhereItHasTheSameName) {
  const ListedAuthority ours;
  const ListedAuthority theirs;
  const std::string stolen = ours.Issue();
  const std::string other = theirs.Issue();
  const std::string list = theirs.List({other});
  EXPECT_THAT(Refusal(list, ours.certificate()), HasSubstr("not a list of an authority that is trusted"));
  const auto both = RevocationLists::Read(list + ours.List({stolen}), ours.certificate());
  ASSERT_TRUE(both) << both.error().message();
  EXPECT_EQ(both->left_out(), 1);
  EXPECT_TRUE(both->RevokeAnyOf(stolen));
  EXPECT_FALSE(both->RevokeAnyOf(other));
  const auto trusted = RevocationLists::Read(list + ours.List({stolen}), theirs.certificate() + ours.certificate());
  ASSERT_TRUE(trusted) << trusted.error().message();
  EXPECT_TRUE(trusted->RevokeAnyOf(stolen));
  EXPECT_TRUE(trusted->RevokeAnyOf(other));
}

TEST(RevocationList, SignedWithAnotherKeyThanItsAuthoritysIsRefused) {
  const ListedAuthority ours;
  const ListedAuthority theirs;
  const auto forged =
      MakeRevocationList({theirs.key().private_key, ours.certificate()}, "", {}, FromHours(-1, 24)).value();
  EXPECT_THAT(Refusal(forged, ours.certificate()), HasSubstr("has not signed"));
  EXPECT_THAT(Refusal(forged + theirs.List({}), ours.certificate() + theirs.certificate()), HasSubstr("has not signed"))
      << "a good one beside it does not make up for what is missing";
}

TEST(RevocationList, SignedByWhoMaySignNoListsIsRefused) {
  const ListedAuthority authority;
  const auto leaf = IssueCertificate(authority.key(), {"client", "", {}, FromHours(-1, 24)}).value();
  const auto list = MakeRevocationList(leaf, "", {}, FromHours(-1, 24)).value();
  EXPECT_THAT(Refusal(list, leaf.certificate), HasSubstr("has not signed"));
}

TEST(RevocationList, DamagedAnywhereItLetsNobodyGo) {
  const ListedAuthority authority;
  const std::string first = authority.Issue();
  const std::string second = authority.Issue();
  const std::string list = authority.List({first, second});
  const std::string good = authority.List({});
  const auto lets_go = [&](const std::string& text) {
    const auto read = RevocationLists::Read(text, authority.certificate());
    // The last letter of a text in base64 has bits that say nothing; a damaged name is another authority's.
    return read && read->left_out() == 0 && !(read->RevokeAnyOf(first) && read->RevokeAnyOf(second));
  };
  int refused = 0;
  for (std::size_t at = 0; at + 1 < list.size(); ++at) {
    if (list[at] == '\n') continue;
    std::string damaged = list;
    damaged[at] = damaged[at] == 'B' ? 'C' : 'B';
    refused += Refusal(damaged, authority.certificate()).empty() ? 0 : 1;
    EXPECT_FALSE(lets_go(damaged)) << "at " << at;
    EXPECT_FALSE(lets_go(good + damaged)) << "behind a good one, at " << at;
    EXPECT_NE(Refusal(list.substr(0, at), authority.certificate()), "") << "cut at " << at;
  }
  EXPECT_GT(refused, 400);
  EXPECT_NE(Refusal(list + authority.certificate(), authority.certificate()), "") << "something else is in it";
}

TEST(RevocationList, IsNotSignedAnewWhereTheFormerOneIsAnothers) {
  const ListedAuthority ours;
  const ListedAuthority theirs;
  const std::string certificate = theirs.Issue();
  EXPECT_FALSE(MakeRevocationList(ours.key(), theirs.List({}), {}, FromHours(-1, 24)));
  EXPECT_FALSE(MakeRevocationList(ours.key(), "damaged", {}, FromHours(-1, 24)));
  EXPECT_FALSE(MakeRevocationList(ours.key(), "", {&certificate, 1}, FromHours(-1, 24)));
}

}  // namespace
}  // namespace ferment::rpc
