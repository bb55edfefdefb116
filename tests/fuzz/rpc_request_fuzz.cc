// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "tests/support/in_process_cluster.h"

// A story of calls, one a line: "Service.Method" and the request in text format, or "raw Service.Method" and its bytes,
// or "exit JOB/ATTEMPT CODE" for what the launched program does. Whatever the lines say, every call is answered, the
// coordinator serves on, and one that starts on its log afterwards knows the same runs.
namespace ferment::testing {
namespace {

namespace pb = google::protobuf;

constexpr auto kDeadline = std::chrono::seconds(20);
/// A stream of an unfinished run never ends by itself.
constexpr auto kStreamDeadline = std::chrono::milliseconds(30);
/// In a changed story it may never come.
constexpr auto kAwaited = std::chrono::milliseconds(400);

struct ParseQuietly final : pb::io::ErrorCollector {
  void AddError(int /*line*/, int /*column*/, const std::string& /*message*/) override {}
};

/// Returns: the request's bytes, as far as the text could be read.
std::string Serialize(const pb::Descriptor& type, const std::string& text) {
  pb::DynamicMessageFactory factory;
  const std::unique_ptr<pb::Message> message(factory.GetPrototype(&type)->New());
  ParseQuietly quietly;
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&quietly);
  parser.AllowPartialMessage(true);
  parser.ParseFromString(text, message.get());
  return message->SerializePartialAsString();
}

class Caller {
 public:
  explicit Caller(const std::string& address)
      : stub_(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())) {}

  void Call(const pb::MethodDescriptor& method, const std::string& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         (method.server_streaming() ? std::chrono::nanoseconds(kStreamDeadline) : kDeadline));
    const grpc::Slice slice(request);
    const grpc::ByteBuffer sent(&slice, 1);
    grpc::CompletionQueue queue;
    const auto call =
        stub_.PrepareUnaryCall(&context, "/" + method.service()->full_name() + "/" + method.name(), sent, &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool good = false;
    FERMENT_CHECK(queue.Next(&tag, &good)) << method.full_name();
    const bool answered = method.server_streaming() || (status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED &&
                                                        status.error_code() != grpc::StatusCode::UNAVAILABLE);
    FERMENT_CHECK(answered) << method.full_name() << ": " << status.error_message();
    FERMENT_CHECK(status.error_code() != grpc::StatusCode::UNKNOWN) << "a handler threw: " << status.error_message();
  }

 private:
  grpc::GenericStub stub_;
};

const pb::MethodDescriptor* FindMethod(const std::string& name) {
  return pb::DescriptorPool::generated_pool()->FindMethodByName("ferment.v1." + name);
}

void AwaitJob(InProcessCluster& cluster, const std::string& run_id, const std::string& job_id) {
  const auto give_up = std::chrono::steady_clock::now() + kAwaited;
  while (std::chrono::steady_clock::now() < give_up) {
    const auto run = coordinator::Await<Result<coordinator::RunView>>(
        [&](auto then) { cluster.scheduler().View(run_id, std::move(then)); });
    if (!run) return;
    for (const coordinator::JobView& job : run->jobs) {
      if (job.job_id == job_id && job.state == coordinator::JobState::kRunning) return;
    }
  }
}

void Tell(const std::string& line, InProcessCluster& cluster, Caller& caller) {
  std::istringstream words(line);
  std::string first;
  words >> first;
  const bool raw = first == "raw";
  if (first == "exit") {
    std::string name;
    int code = 0;
    if (words >> name >> code) cluster.world().launcher.Exit(name, code);
    return;
  }
  if (first == "await") {
    std::string run_id;
    std::string job_id;
    words >> run_id >> job_id;
    AwaitJob(cluster, run_id, job_id);
    return;
  }
  if (raw) words >> first;
  const pb::MethodDescriptor* method = FindMethod(first);
  if (method == nullptr) return;
  const std::string request{std::istreambuf_iterator<char>(words), {}};
  caller.Call(*method, raw ? request : Serialize(*method->input_type(), request));
}

std::size_t RunsOf(InProcessCluster& cluster) {
  const auto runs = coordinator::Await<Result<coordinator::RunPage>>(
      [&](auto then) { cluster.scheduler().List(0, 1'000, std::move(then)); });
  FERMENT_CHECK(runs.has_value()) << runs.error().message();
  return runs->runs.size();
}

}  // namespace
}  // namespace ferment::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using ferment::testing::InProcessCluster;
  InProcessCluster cluster;
  ferment::testing::Caller caller(cluster.address());
  std::istringstream lines(std::string(reinterpret_cast<const char*>(data), size));
  for (std::string line; std::getline(lines, line);) ferment::testing::Tell(line, cluster, caller);
  const std::size_t runs = ferment::testing::RunsOf(cluster);
  cluster.StopCoordinator();
  cluster.StartCoordinator();
  FERMENT_CHECK(ferment::testing::RunsOf(cluster) == runs) << "before the restart: " << runs;
  return 0;
}
