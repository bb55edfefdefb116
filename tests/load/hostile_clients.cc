// SPDX-License-Identifier: Apache-2.0
#include "tests/load/hostile_clients.h"

#include <grpcpp/generic/generic_stub.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

#include "bench/lease_log.h"
#include "bench/load_client.h"
#include "tests/load/loaded_coordinator.h"

namespace ferment::load {
namespace {

constexpr std::string_view kPreface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
constexpr int kStreamsAChannel = 8;
constexpr int kRawCallsAChannel = 16;
constexpr std::chrono::seconds kDeadline{30};

std::unique_ptr<v1::RunService::Stub> RunsAt(const std::string& address) {
  grpc::ChannelArguments unbounded;
  unbounded.SetMaxSendMessageSize(-1);
  return v1::RunService::NewStub(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), unbounded));
}

/// A connection whose window stays as small as HTTP/2 begins with: gRPC would make it larger and hold what nobody
/// reads.
std::unique_ptr<v1::RunService::Stub> RunsOfASmallWindow(const std::string& address, int number) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("ferment.load.reader", number);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65'535);
  return v1::RunService::NewStub(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
}

struct RawCall {
  grpc::ClientContext context;
  grpc::ByteBuffer response;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
};

void SetDeadline(grpc::ClientContext& context) { context.set_deadline(std::chrono::system_clock::now() + kDeadline); }

}  // namespace

void OpenAndCloseConnections(const std::string& address, int count, int at_a_time) {
  std::vector<int> open;
  for (int i = 0; i < count; ++i) {
    if (static_cast<int>(open.size()) == at_a_time) {
      for (const int handle : open) close(handle);
      open.clear();
    }
    const int handle = ConnectTo(address);
    if (handle < 0) continue;
    open.push_back(handle);
    const std::size_t sent = i % 3 == 0 ? kPreface.size() : i % 3 == 1 ? kPreface.size() / 2 : 0;
    // Whether it still listens is not our affair.
    (void)send(handle, kPreface.data(), sent, MSG_NOSIGNAL);
  }
  for (const int handle : open) close(handle);
}

SilentConnections::SilentConnections(const std::string& address, int count) {
  for (int i = 0; i < count; ++i) {
    handles_.push_back(ConnectTo(address));
    (void)send(handles_.back(), "GET /", 5, MSG_NOSIGNAL);
  }
}

SilentConnections::~SilentConnections() {
  for (const int handle : handles_) close(handle);
}

struct SilentReaders::Stream {
  std::shared_ptr<v1::RunService::Stub> runs;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::WatchRunResponse>> run;
  std::unique_ptr<grpc::ClientReader<v1::ReadLogResponse>> log;
};

SilentReaders::SilentReaders(const std::string& address, int count) {
  std::shared_ptr<v1::RunService::Stub> runs;
  for (int i = 0; i < count; ++i) {
    if (i % kStreamsAChannel == 0) runs = RunsOfASmallWindow(address, i);
    auto stream = std::make_unique<Stream>();
    stream->runs = runs;
    if (i % 2 == 0) {
      v1::WatchRunRequest request;
      request.set_run_id(bench::kLeaseRun);
      stream->run = runs->WatchRun(&stream->context, request);
    } else {
      v1::ReadLogRequest request;
      request.set_run_id(bench::kLeaseRun);
      request.set_job_id("teacher");
      stream->log = runs->ReadLog(&stream->context, request);
    }
    streams_.push_back(std::move(stream));
  }
}

SilentReaders::~SilentReaders() {
  for (const auto& stream : streams_) {
    stream->context.TryCancel();
    if (stream->run) (void)stream->run->Finish();
    if (stream->log) (void)stream->log->Finish();
  }
}

grpc::Status SubmitBytes(const std::string& address, std::size_t bytes) {
  v1::SubmitRunRequest request;
  request.set_run_dir(std::string(bytes, 'x'));
  request.set_run_dir(std::string(2 * bytes - request.ByteSizeLong(), 'x'));
  v1::SubmitRunResponse response;
  grpc::ClientContext context;
  SetDeadline(context);
  return RunsAt(address)->SubmitRun(&context, request, &response);
}

grpc::Status SendMetadata(const std::string& address, std::size_t bytes) {
  v1::ListRunsResponse response;
  grpc::ClientContext context;
  SetDeadline(context);
  context.AddMetadata("x-long", std::string(bytes, 'x'));
  return RunsAt(address)->ListRuns(&context, {}, &response);
}

std::vector<grpc::Status> CallRaw(const std::string& address, const std::string& method, std::string_view bytes,
                                  int count) {
  // One copy of the bytes for all of them.
  const grpc::Slice slice(bytes.data(), bytes.size());
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<RawCall>> calls;
  std::unique_ptr<grpc::GenericStub> stub;
  for (int i = 0; i < count; ++i) {
    if (i % kRawCallsAChannel == 0) stub = std::make_unique<grpc::GenericStub>(bench::OpenOwnChannel(address, i));
    auto& call = *calls.emplace_back(std::make_unique<RawCall>());
    SetDeadline(call.context);
    call.reader = stub->PrepareUnaryCall(&call.context, method, grpc::ByteBuffer(&slice, 1), &queue);
    call.reader->StartCall();
    call.reader->Finish(&call.response, &call.status, &call);
  }
  std::vector<grpc::Status> ended;
  for (int i = 0; i < count; ++i) {
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    ended.push_back(static_cast<RawCall*>(tag)->status);
  }
  return ended;
}

grpc::Status SubmitRaw(const std::string& address, std::string_view bytes) {
  return CallRaw(address, "/ferment.v1.RunService/SubmitRun", bytes, 1).front();
}

}  // namespace ferment::load
