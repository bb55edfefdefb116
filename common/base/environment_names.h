// SPDX-License-Identifier: Apache-2.0
//
// The environment variables of the programs, named once: whoever reads one, and whoever looks for mistyped ones, says
// it from here. Those of the spec's keys follow from the schema (common/config/spec_schema.h).
#pragma once

#include <array>

namespace ferment::environment {

inline constexpr const char* kCoordinator = "FERMENT_COORDINATOR";
inline constexpr const char* kHost = "FERMENT_HOST";
inline constexpr const char* kLabelStore = "FERMENT_LABEL_STORE";
inline constexpr const char* kTlsDir = "FERMENT_TLS_DIR";
inline constexpr const char* kTlsCert = "FERMENT_TLS_CERT";
inline constexpr const char* kTlsKey = "FERMENT_TLS_KEY";
inline constexpr const char* kTlsCa = "FERMENT_TLS_CA";
inline constexpr const char* kTlsCrl = "FERMENT_TLS_CRL";
inline constexpr const char* kTokenFile = "FERMENT_TOKEN_FILE";
inline constexpr const char* kS3Addressing = "FERMENT_S3_ADDRESSING";
inline constexpr const char* kS3Insecure = "FERMENT_S3_INSECURE";

/// Those that say who calls, for a program that starts another one as somebody else.
inline constexpr std::array kCredentials = {kTlsDir, kTlsCert, kTlsKey, kTlsCa, kTlsCrl, kTokenFile};
inline constexpr std::array kPlaces = {kCoordinator, kHost, kLabelStore};
inline constexpr std::array kObjectStore = {kS3Addressing, kS3Insecure};

}  // namespace ferment::environment
