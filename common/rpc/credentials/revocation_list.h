// SPDX-License-Identifier: Apache-2.0
//
// The certificates that the authorities we trust have taken back before their time (RFC 5280).
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/rpc/credentials/credential_paths.h"
#include "common/rpc/credentials/openssl_objects.h"

namespace ferment::rpc {

/// A value; constant once read. Made anew it revokes nothing.
class RevocationLists {
 public:
  /// Reads lists in PEM, of one authority or several, and checks each with the authorities, in PEM too. A list of an
  /// authority that is not among them is left out: no certificate of that one gets in. Errors: InvalidArgument
  /// (damaged, none of these authorities, not signed by the authority that it names, or of a kind that cannot be read
  /// alone).
  static Result<RevocationLists> Read(std::string_view lists, std::string_view authorities);

  /// Returns: whether the certificate stands in a list of the authority that issued it.
  bool Revoke(X509& certificate) const;
  /// Returns: whether one of these certificates in PEM does; true where one cannot be read.
  bool RevokeAnyOf(std::string_view certificates) const;

  bool empty() const { return lists_.empty(); }
  /// How many certificates they revoke.
  std::size_t size() const;
  /// Lists that were left out.
  int left_out() const { return left_out_; }
  /// When the first of them should have been replaced by a newer one; nothing where none says so.
  std::optional<WallTime> next_update() const;

 private:
  struct Signed {
    RevocationList list;
    /// Those that may have signed it and did: more than one where an authority's certificate was renewed. In
    /// authorities_.
    std::vector<X509*> by;
  };
  Status Add(RevocationList list);

  std::vector<Certificate> authorities_;
  std::vector<Signed> lists_;
  int left_out_ = 0;
};

/// Reads paths.revocations; revokes nothing where there is no such file and need be none. Errors: those of
/// RevocationLists::Read with exit code 77, and of ReadCredential.
Result<RevocationLists> ReadRevocations(const CredentialPaths& paths);

}  // namespace ferment::rpc
