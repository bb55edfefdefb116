// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/s3_answer.h"

#include <gtest/gtest.h>

namespace ferment::io {
namespace {

HttpAnswer Answer(int status, const std::string& body, std::map<std::string, std::string> headers = {}) {
  const auto bytes = std::as_bytes(std::span(body));
  return {status, std::move(headers), {bytes.begin(), bytes.end()}, {}};
}

std::string Error(const std::string& code, const std::string& more = "") {
  return "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>said &amp; done</Message>" + more +
         "</Error>";
}

WallTime Noon() { return std::chrono::system_clock::from_time_t(1'700'000'000); }

TEST(S3Answer, AFailureSaysStatusCodeAndMessage) {
  const Status failure = S3Failure(Answer(404, Error("NoSuchKey")), Noon());
  EXPECT_EQ(failure.code(), StatusCode::kNotFound);
  EXPECT_EQ(failure.message(), "http=404 code=NoSuchKey: said & done");
  EXPECT_EQ(ProcessExitCode(failure), exit_code::kBadData);
  EXPECT_EQ(ProcessExitCode(S3Failure(Answer(403, Error("AccessDenied")), Noon())), exit_code::kNotAllowed);
  EXPECT_EQ(ProcessExitCode(S3Failure(Answer(503, Error("SlowDown")), Noon())), exit_code::kMissingService);
  // A HEAD has no document.
  EXPECT_EQ(S3Failure(Answer(403, ""), Noon()).message(), "http=403");
}

TEST(S3Answer, AWrongRegionNamesTheRightOne) {
  const Status by_text =
      S3Failure(Answer(400, Error("AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>")), Noon());
  EXPECT_EQ(by_text.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(by_text.message().find("set AWS_REGION"), std::string::npos) << by_text.message();
  const Status by_header =
      S3Failure(Answer(301, Error("PermanentRedirect"), {{"x-amz-bucket-region", "eu-west-3"}}), Noon());
  EXPECT_NE(by_header.message().find("the bucket is in eu-west-3"), std::string::npos) << by_header.message();
}

TEST(S3Answer, ARedirectNamesWhereTo) {
  const Status by_location = S3Failure(Answer(302, "", {{"location", "http://elsewhere.lab/k"}}), Noon());
  EXPECT_EQ(by_location.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(by_location.message().find("http://elsewhere.lab/k"), std::string::npos) << by_location.message();
  const Status of_head = S3Failure(Answer(301, "", {{"x-amz-bucket-region", "eu-west-3"}}), Noon());
  EXPECT_NE(of_head.message().find("the bucket is in eu-west-3"), std::string::npos) << of_head.message();
}

TEST(S3Answer, AClockThatIsWrongIsMeasured) {
  // Noon() is Tue, 14 Nov 2023 22:13:20 GMT.
  const Status failure =
      S3Failure(Answer(403, Error("RequestTimeTooSkewed"), {{"date", "Tue, 14 Nov 2023 22:33:20 GMT"}}), Noon());
  EXPECT_EQ(failure.code(), StatusCode::kPermissionDenied);
  EXPECT_NE(failure.message().find("1200 s behind the store's"), std::string::npos) << failure.message();
}

TEST(S3Answer, WhatPassesIsToldFromWhatDoesNot) {
  for (const int status : {500, 502, 503, 504, 429, 408}) EXPECT_TRUE(IsPassing(Answer(status, ""))) << status;
  EXPECT_TRUE(IsPassing(Answer(409, Error("ConditionalRequestConflict"))));
  EXPECT_TRUE(IsPassing(Answer(400, Error("RequestTimeout"))));
  for (const int status : {200, 206, 301, 400, 403, 404, 409, 412, 416, 501})
    EXPECT_FALSE(IsPassing(Answer(status, ""))) << status;
  HttpAnswer cut = Answer(200, "");
  cut.transport = UnavailableError("cut");
  EXPECT_TRUE(IsPassing(cut));
  cut.transport = PermissionDeniedError("certificate");
  EXPECT_FALSE(IsPassing(cut));
}

TEST(S3Answer, ReadsAPageOfObjectsAndFolders) {
  const auto page = ParseObjectPage(
      "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Prefix>p/</Prefix>"
      "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b=="
      "</NextContinuationToken><Contents><Key>p/a%20b%2Bc+d</Key><Size>12</Size></Contents><Contents><Size>0</Size>"
      "<Key>p/z</Key></Contents><CommonPrefixes><Prefix>p/sub/</Prefix></CommonPrefixes></ListBucketResult>");
  ASSERT_TRUE(page) << page.error().ToString();
  ASSERT_EQ(page->objects.size(), 2U);
  EXPECT_EQ(page->objects[0].key, "p/a b+c d");
  EXPECT_EQ(page->objects[0].size, 12U);
  EXPECT_EQ(page->folders, std::vector<std::string>{"p/sub/"});
  EXPECT_EQ(page->next, "a&b==");
}

TEST(S3Answer, RefusesWhatIsNoPage) {
  EXPECT_FALSE(ParseObjectPage("<html>login</html>"));
  EXPECT_FALSE(ParseObjectPage("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"));
  EXPECT_FALSE(ParseObjectPage("<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>"));
  EXPECT_FALSE(ParseObjectPage("<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>"));
}

}  // namespace
}  // namespace ferment::io
