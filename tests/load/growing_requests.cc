// SPDX-License-Identifier: Apache-2.0
#include "tests/load/growing_requests.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include "ferment/v1/lease_service.pb.h"
#include "ferment/v1/run_service.pb.h"
#include "ferment/v1/trainer_service.pb.h"

namespace ferment::load {
namespace {

using google::protobuf::internal::WireFormatLite;

// No request has it.
constexpr int kUnknown = 100;
// Of the messages around a list: their tags and lengths.
constexpr std::size_t kAround = 16;

std::string TagOf(int field) {
  std::string tag;
  google::protobuf::io::StringOutputStream out(&tag);
  google::protobuf::io::CodedOutputStream(&out).WriteTag(
      WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
  return tag;
}

std::string InField(int field, const std::string& bytes) {
  std::string whole = TagOf(field);
  google::protobuf::io::StringOutputStream out(&whole);
  google::protobuf::io::CodedOutputStream(&out).WriteVarint32(static_cast<std::uint32_t>(bytes.size()));
  return whole + bytes;
}

std::string EmptyEntries(int field, std::size_t bytes) {
  const std::string entry = TagOf(field) + '\0';
  std::string list;
  list.reserve(bytes);
  while (list.size() + entry.size() <= bytes) list += entry;
  return list;
}

}  // namespace

std::vector<GrowingRequest> GrowingRequests(std::size_t bytes) {
  using v1::CommitShardRequest;
  const std::size_t most = bytes - kAround;
  const std::string unknown = EmptyEntries(kUnknown, most);
  const std::string faces = InField(v1::RunSpec::kDataFieldNumber, EmptyEntries(v1::DataSpec::kFerFieldNumber, most));
  const std::string known = EmptyEntries(v1::LeaseShardsRequest::kKnownRunsFieldNumber, most);
  return {{"/ferment.v1.RunService/SubmitRun", InField(v1::SubmitRunRequest::kSpecFieldNumber, faces)},
          {"/ferment.v1.RunService/GetRun", unknown},
          {"/ferment.v1.RunService/WatchRun", unknown},
          {"/ferment.v1.RunService/CancelRun", unknown},
          {"/ferment.v1.LeaseService/RegisterLabeler", unknown},
          {"/ferment.v1.LeaseService/LeaseShards", known},
          {"/ferment.v1.LeaseService/CommitShard", EmptyEntries(CommitShardRequest::kFilesFieldNumber, most)},
          {"/ferment.v1.LeaseService/CommitShard", InField(CommitShardRequest::kNextFieldNumber, known)},
          {"/ferment.v1.LeaseService/FailShard", unknown},
          {"/ferment.v1.TrainerService/ReportProgress", unknown},
          {"/ferment.v1.TrainerService/CompleteJob", EmptyEntries(v1::CompleteJobRequest::kModelsFieldNumber, most)}};
}

}  // namespace ferment::load
