// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/credentials/revocation_list.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <string>

namespace ferment::rpc {
namespace {

using KeyId = std::unique_ptr<AUTHORITY_KEYID, OpensslFree<AUTHORITY_KEYID_free>>;
using Scope = std::unique_ptr<ISSUING_DIST_POINT, OpensslFree<ISSUING_DIST_POINT_free>>;

template <typename Extension>
Extension ExtensionOf(const X509_CRL& list, int kind) {
  return Extension(static_cast<typename Extension::pointer>(X509_CRL_get_ext_d2i(&list, kind, nullptr, nullptr)));
}

/// A list of a part of the certificates will do, it revokes what it names; one of other authorities' certificates, and
/// one that only says what has changed, will not.
Status CheckKind(const X509_CRL& list) {
  const auto scope = ExtensionOf<Scope>(list, NID_issuing_distribution_point);
  if (scope && scope->indirectCRL > 0) return InvalidArgumentError("a list of other authorities' certificates");
  for (int i = 0; i < X509_CRL_get_ext_count(&list); ++i) {
    X509_EXTENSION* extension = X509_CRL_get_ext(&list, i);
    const int kind = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
    if (kind == NID_delta_crl) return InvalidArgumentError("a list of changes alone (delta CRL); give the whole one");
    const bool known =
        kind == NID_issuing_distribution_point || kind == NID_authority_key_identifier || kind == NID_crl_number;
    if (X509_EXTENSION_get_critical(extension) != 0 && !known) {
      return InvalidArgumentError("a critical extension that is not known here");
    }
  }
  return {};
}

bool Names(const X509_CRL& list, X509& authority) {
  if (X509_NAME_cmp(X509_CRL_get_issuer(&list), X509_get_subject_name(&authority)) != 0) return false;
  const auto key = ExtensionOf<KeyId>(list, NID_authority_key_identifier);
  return X509_check_akid(&authority, key.get()) == X509_V_OK;
}

bool IsSignedBy(X509_CRL& list, X509& authority) {
  const bool may_sign = (X509_get_key_usage(&authority) & KU_CRL_SIGN) != 0;
  const bool did = may_sign && X509_CRL_verify(&list, X509_get0_pubkey(&authority)) == 1;
  if (!did) TakeOpensslError();
  return did;
}

}  // namespace

Result<RevocationLists> RevocationLists::Read(std::string_view lists, std::string_view authorities) {
  RevocationLists read;
  FERMENT_ASSIGN_OR_RETURN(read.authorities_, ReadCertificates(authorities));
  // Has OpenSSL look at their extensions, which X509_check_akid takes for granted.
  for (const Certificate& authority : read.authorities_) X509_check_purpose(authority.get(), -1, 0);
  FERMENT_ASSIGN_OR_RETURN(auto all, ReadRevocationLists(lists));
  for (RevocationList& list : all) FERMENT_RETURN_IF_ERROR(read.Add(std::move(list)));
  if (!read.lists_.empty()) return read;
  return Fail(
      InvalidArgumentError("not a list of an authority that is trusted here: lists=" + std::to_string(read.left_out_)));
}

Status RevocationLists::Add(RevocationList list) {
  bool named = false;
  std::vector<X509*> by;
  for (const Certificate& authority : authorities_) {
    if (!Names(*list, *authority)) continue;
    named = true;
    if (IsSignedBy(*list, *authority)) by.push_back(authority.get());
  }
  if (!named) {
    ++left_out_;
    return {};
  }
  if (by.empty()) return InvalidArgumentError("a list that the authority which it names has not signed");
  FERMENT_RETURN_IF_ERROR(CheckKind(*list));
  lists_.push_back({std::move(list), std::move(by)});
  return {};
}

bool RevocationLists::Revoke(X509& certificate) const {
  return std::any_of(lists_.begin(), lists_.end(), [&certificate](const Signed& one) {
    const bool of_it = std::any_of(one.by.begin(), one.by.end(), [&certificate](X509* authority) {
      return X509_check_issued(authority, &certificate) == X509_V_OK;
    });
    X509_REVOKED* entry = nullptr;
    // 2: taken off the list again.
    return of_it && X509_CRL_get0_by_cert(one.list.get(), &entry, &certificate) == 1;
  });
}

bool RevocationLists::RevokeAnyOf(std::string_view certificates) const {
  const auto read = ReadCertificates(certificates);
  if (!read) return true;
  return std::any_of(read->begin(), read->end(), [this](const Certificate& one) { return Revoke(*one); });
}

std::size_t RevocationLists::size() const {
  std::size_t revoked = 0;
  for (const Signed& one : lists_) {
    const auto* entries = X509_CRL_get_REVOKED(one.list.get());
    revoked += entries == nullptr ? 0 : static_cast<std::size_t>(sk_X509_REVOKED_num(entries));
  }
  return revoked;
}

std::optional<WallTime> RevocationLists::next_update() const {
  std::optional<WallTime> first;
  for (const Signed& one : lists_) {
    const auto time = TimeOf(X509_CRL_get0_nextUpdate(one.list.get()));
    if (time && (!first || *time < *first)) first = time;
  }
  return first;
}

Result<RevocationLists> ReadRevocations(const CredentialPaths& paths) {
  if (paths.revocations.empty()) return RevocationLists();
  std::error_code unseen;
  const bool missing =
      std::filesystem::status(paths.revocations, unseen).type() == std::filesystem::file_type::not_found;
  if (missing && !paths.revocations_wanted) return RevocationLists();
  FERMENT_ASSIGN_OR_RETURN(const std::string lists, ReadCredential(paths.revocations));
  FERMENT_ASSIGN_OR_RETURN(const std::string authorities, ReadCredential(paths.authorities));
  auto read = RevocationLists::Read(lists, authorities);
  if (read) return read;
  return Fail(read.error()
                  .With("file=" + paths.revocations.string() + " authorities=" + paths.authorities.string())
                  .WithExitCode(exit_code::kNotAllowed));
}

}  // namespace ferment::rpc
