// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/request_door.h"

#include <string>
#include <vector>

#include "ferment/v1/access.pb.h"

namespace ferment::coordinator {
namespace {

struct Part {
  std::string field;
  std::size_t bytes = 0;
};

/// Returns: the field that takes the most bytes, with no name where it is not known here. Takes the message apart.
Part LargestPart(google::protobuf::Message& request) {
  const auto* reflection = request.GetReflection();
  const std::unique_ptr<google::protobuf::Message> alone(request.New());
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(request, &fields);
  Part largest;
  for (const auto* field : fields) {
    reflection->SwapFields(&request, alone.get(), {field});
    if (const std::size_t bytes = alone->ByteSizeLong(); bytes > largest.bytes) largest = {field->name(), bytes};
    alone->Clear();
  }
  // What is left is of fields that this version does not know.
  if (const std::size_t bytes = request.ByteSizeLong(); bytes > largest.bytes) largest = {"", bytes};
  return largest;
}

}  // namespace

class RequestDoor::Bytes {
 public:
  Bytes(std::atomic<std::size_t>& line, std::size_t bytes) : line_(line), bytes_(bytes) { line_ += bytes_; }
  ~Bytes() { line_ -= bytes_; }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

 private:
  std::atomic<std::size_t>& line_;
  const std::size_t bytes_;
};

std::size_t RequestDoor::MostBytes(const google::protobuf::Descriptor& type) {
  return type.options().GetExtension(v1::max_bytes);
}

RequestDoor::Refusal RequestDoor::TooLarge(google::protobuf::Message& request, std::size_t bytes, std::size_t limit) {
  const Part largest = LargestPart(request);
  const std::string named = largest.field.empty() ? "unknown" : largest.field;
  return {InvalidArgumentError("a request says more than it may: message=" + request.GetDescriptor()->name() +
                               " bytes=" + std::to_string(bytes) + " limit=" + std::to_string(limit) +
                               " largest_field=" + named + " of_bytes=" + std::to_string(largest.bytes)),
          largest.field};
}

Result<RequestDoor::Share> RequestDoor::Reserve(RequestKind kind, std::size_t bytes) {
  std::atomic<std::size_t>& line = kind == RequestKind::kHeldWork ? held_ : rest_;
  Share share = std::make_shared<const Bytes>(line, bytes);
  const std::size_t waiting = held_ + rest_;
  if (waiting <= limit_ && line <= limit_ - limit_ / 4) return share;
  refused_.Increment();
  return Fail(ResourceExhaustedError("requests of too many bytes wait; come back in a moment: bytes=" +
                                     std::to_string(waiting) + " limit=" + std::to_string(limit_)));
}

}  // namespace ferment::coordinator
