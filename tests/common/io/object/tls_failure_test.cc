// SPDX-License-Identifier: Apache-2.0
#include "common/io/object/tls_failure.h"

#include <gtest/gtest.h>

namespace ferment::io {
namespace {

TEST(TlsFailure, WhatFailsTheNextTimeTooIsToldFromWhatPasses) {
  EXPECT_EQ(HandshakeFailure("error:0A00010B:SSL routines::wrong version number").code(), StatusCode::kInvalidArgument);
  for (const char* text : {"error:0A000102:SSL routines::unsupported protocol",
                           "OpenSSL/3.0: error:0A00042E:SSL routines::tlsv1 alert protocol version",
                           "error:0A000410:SSL routines::sslv3 alert handshake failure"})
    EXPECT_EQ(HandshakeFailure(text).code(), StatusCode::kPermissionDenied) << text;
  for (const char* text :
       {"", "error:", "error:XYZ", "OpenSSL SSL_connect: Connection reset by peer in connection to store.lab:443",
        "error:0A000126:SSL routines::unexpected eof while reading", "error:80000068:system library::Connection reset",
        "error:0A000438:SSL routines::tlsv1 alert internal error", "error:1400010B:no longer the number of SSL"})
    EXPECT_EQ(HandshakeFailure(text).code(), StatusCode::kUnavailable) << text;
}

TEST(TlsFailure, WhoIsTrustedIsNamedWhereThatHelps) {
  constexpr long kNoIssuer = 20;
  constexpr long kExpired = 10;
  const auto says = [](const Status& status, const char* word) {
    return status.message().find(word) != std::string::npos;
  };
  EXPECT_TRUE(says(CertificateFailure(kNoIssuer, "text", "/etc/lab.pem"),
                   "text; trusted are those of AWS_CA_BUNDLE=/etc/lab.pem"));
  EXPECT_TRUE(says(CertificateFailure(kNoIssuer, "text", ""), "AWS_CA_BUNDLE=FILE names others"));
  for (const long no_matter_who : {0L, 1L, kExpired})
    EXPECT_FALSE(says(CertificateFailure(no_matter_who, "text", "/etc/lab.pem"), "AWS_CA_BUNDLE")) << no_matter_who;
}

}  // namespace
}  // namespace ferment::io
