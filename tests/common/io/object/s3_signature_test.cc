// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/s3_signature.h"

#include <gtest/gtest.h>

#include "common/io/checksum.h"

namespace ferment::io {
namespace {

// The account of AWS's documentation.
const S3Credentials kExample{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
const std::string kNothing = Sha256Hex("");

WallTime At(const char* iso) {
  std::tm utc = {};
  EXPECT_NE(strptime(iso, "%Y%m%dT%H%M%SZ", &utc), nullptr);
  return std::chrono::system_clock::from_time_t(timegm(&utc));
}

std::string SignatureOf(const S3Credentials& credentials, S3Request request,
                        const SignatureScope& scope = {"us-east-1", "s3"}, const char* time = "20130524T000000Z") {
  if (scope.service == "s3") request.headers["x-amz-content-sha256"] = request.body_sha256;
  Sign(credentials, scope, At(time), request);
  const std::string& authorization = request.headers["authorization"];
  return authorization.substr(authorization.rfind('=') + 1);
}

// "Signature Calculations for the Authorization Header" of the Amazon S3 API reference, its four examples.
TEST(S3Signature, IsThatOfAmazonsExamples) {
  const std::map<std::string, std::string> host = {{"host", "examplebucket.s3.amazonaws.com"}};
  S3Request get{"GET", "/test.txt", {}, host, kNothing};
  get.headers["range"] = "bytes=0-9";
  EXPECT_EQ(SignatureOf(kExample, get), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");

  S3Request put{"PUT", "/" + UriEncode("test$file.text", Slashes::kKept), {}, host, Sha256Hex("Welcome to Amazon S3.")};
  put.headers["date"] = "Fri, 24 May 2013 00:00:00 GMT";
  put.headers["x-amz-storage-class"] = "REDUCED_REDUNDANCY";
  EXPECT_EQ(SignatureOf(kExample, put), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");

  EXPECT_EQ(SignatureOf(kExample, {"GET", "/", {{"lifecycle", ""}}, host, kNothing}),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  EXPECT_EQ(SignatureOf(kExample, {"GET", "/", {{"max-keys", "2"}, {"prefix", "J"}}, host, kNothing}),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

// get-vanilla of AWS's signature test suite.
TEST(S3Signature, IsThatOfAmazonsTestSuite) {
  const S3Credentials suite{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
  EXPECT_EQ(SignatureOf(suite, {"GET", "/", {}, {{"host", "example.amazonaws.com"}}, kNothing},
                        {"us-east-1", "service"}, "20150830T123600Z"),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

// Signatures that botocore 1.43 made of the same requests.
TEST(S3Signature, IsThatOfBotocoreForAwkwardKeysQueriesAndTokens) {
  S3Credentials temporary = kExample;
  temporary.session_token = "TOKEN/with+signs==";
  S3Request put{"PUT",
                "/faces/" + UriEncode("a b+c/\xC3\xBC~$&=%41.npz", Slashes::kKept),
                {},
                {{"host", "minio.lab:9000"}, {"if-none-match", "*"}},
                Sha256Hex("abc")};
  EXPECT_EQ(put.path, "/faces/a%20b%2Bc/%C3%BC~%24%26%3D%2541.npz");
  EXPECT_EQ(SignatureOf(temporary, put), "e7d74f579de8c7fb84c00a2dc64ed5c19863c287240f32bf725ea1d920b6e3ab");

  const S3Request list{
      "GET",
      "/faces",
      {{"list-type", "2"}, {"delimiter", "/"}, {"prefix", "packs/a b+c/"}, {"continuation-token", "1/x=="}},
      {{"host", "minio.lab:9000"}},
      kNothing};
  EXPECT_EQ(SignatureOf(kExample, list), "cac5e55810113a19da26f6a8976e48c185cc57dfa3396f8d84b37c25908eae05");
}

TEST(S3Signature, SpacesInAHeaderDoNotCountButAtItsEndsAndInRows) {
  const S3Request request{"GET", "/", {}, {{"host", "h"}, {"my-header", "  a   b  c "}}, kNothing};
  EXPECT_NE(CanonicalRequest(request).find("my-header:a b c\n"), std::string::npos);
}

TEST(S3Signature, TheSecretIsInNoHeader) {
  S3Request request{"GET", "/", {}, {{"host", "h"}}, kNothing};
  Sign(kExample, {"us-east-1"}, At("20130524T000000Z"), request);
  for (const auto& [name, value] : request.headers)
    EXPECT_EQ(value.find(kExample.secret_key), std::string::npos) << name;
}

}  // namespace
}  // namespace ferment::io
