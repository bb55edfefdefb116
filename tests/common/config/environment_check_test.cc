// SPDX-License-Identifier: Apache-2.0
#include "common/config/environment_check.h"

#include <gtest/gtest.h>

#include "common/base/environment_names.h"
#include "common/config/spec_schema.h"

namespace ferment {
namespace {

std::string NearestTo(const std::string& variable) {
  const auto found = FindMistypedVariables({"PATH=/bin", variable});
  return found.empty() ? "" : found.front().nearest;
}

TEST(EnvironmentCheck, NamesTheVariableThatWasMeant) {
  EXPECT_EQ(NearestTo("FERMENT_COORDINATER=h:1"), "FERMENT_COORDINATOR");
  EXPECT_EQ(NearestTo("FERMENT_TLSDIR=/x"), "FERMENT_TLS_DIR");
  EXPECT_EQ(NearestTo("FERMENT_TEACHER_STPES=5"), "FERMENT_TEACHER_STEPS");
  EXPECT_EQ(NearestTo("FERMENT_COTRAIN_FEEDBACK_FROM=off"), "FERMENT_COTRAIN_FEEDBACK_FORM");
  EXPECT_EQ(NearestTo("FERMENT_S3_INSECUR=true"), "FERMENT_S3_INSECURE");
  EXPECT_EQ(NearestTo("Ferment_Token_File=/x"), "FERMENT_TOKEN_FILE");
}

TEST(EnvironmentCheck, SaysNothingOfWhatIsReadOrOfOthers) {
  for (const char* name : environment::kCredentials) EXPECT_EQ(NearestTo(std::string(name) + "=x"), "") << name;
  for (const char* name : environment::kPlaces) EXPECT_EQ(NearestTo(std::string(name) + "=x"), "") << name;
  for (const char* name : environment::kObjectStore) EXPECT_EQ(NearestTo(std::string(name) + "=x"), "") << name;
  VisitSchema(*RunSpec::descriptor(), "", [](const SpecField&, const std::string& key) {
    EXPECT_EQ(NearestTo(EnvironmentName(key) + "=1"), "") << key;
  });
  // As Kubernetes sets them in every pod beside a service that is called ferment-coordinator.
  EXPECT_EQ(NearestTo("FERMENT_COORDINATOR_PORT=tcp://10.0.0.1:7070"), "");
  EXPECT_EQ(NearestTo("FERMENT_COORDINATOR_SERVICE_HOST=10.0.0.1"), "");
  EXPECT_EQ(NearestTo("FERMENT_LONG_TESTS=1"), "");
  EXPECT_EQ(NearestTo("OTHER_COORDINATER=1"), "");
}

}  // namespace
}  // namespace ferment
