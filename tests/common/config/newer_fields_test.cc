// SPDX-License-Identifier: Apache-2.0
#include "common/config/newer_fields.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include "common/config/run_spec.h"

namespace ferment {
namespace {

void Add(google::protobuf::Message* message, int number) {
  message->GetReflection()->MutableUnknownFields(message)->AddVarint(number, 1);
}

TEST(NewerFields, OfAMessageThatIsKnownThereAreNone) {
  RunSpec spec;
  EXPECT_EQ(FieldOfANewerVersion(spec), "");
  spec.mutable_cotrain()->set_rounds(2);
  spec.add_classes("Anger");
  EXPECT_EQ(FieldOfANewerVersion(spec), "");
}

TEST(NewerFields, AreFoundAtTheTopAndWithinAndNamedByTheirPlace) {
  RunSpec spec;
  Add(spec.mutable_data()->mutable_videos(), 900);
  EXPECT_EQ(FieldOfANewerVersion(spec), "data.videos.#900");
  Add(&spec, 901);
  EXPECT_EQ(FieldOfANewerVersion(spec), "#901");
}

TEST(NewerFields, AreFoundInLists) {
  google::protobuf::DescriptorProto message;
  message.add_field();
  Add(message.add_field()->mutable_options(), 902);
  EXPECT_EQ(FieldOfANewerVersion(message), "field.options.#902");
}

TEST(NewerFields, AreFoundInTheFieldThatAOneofHas) {
  google::protobuf::Value value;
  EXPECT_EQ(FieldOfANewerVersion(value), "") << "none is set";
  value.set_number_value(1);
  EXPECT_EQ(FieldOfANewerVersion(value), "") << "and one that is no message";
  Add(value.mutable_list_value()->add_values(), 903);
  EXPECT_EQ(FieldOfANewerVersion(value), "list_value.values.#903");
}

}  // namespace
}  // namespace ferment
