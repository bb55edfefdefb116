// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/health_question.h"

#include <grpc/health/v1/health.pb.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <future>

namespace ferment::rpc {

Result<bool> AskWhetherServing(const std::shared_ptr<grpc::Channel>& channel, const std::string& service,
                               const CallOptions& options) {
  using grpc::health::v1::HealthCheckRequest;
  using grpc::health::v1::HealthCheckResponse;
  // Without a generated stub, whose methods would need a role each; this one is open to everybody.
  grpc::TemplatedGenericStub<HealthCheckRequest, HealthCheckResponse> stub(channel);
  HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  FERMENT_RETURN_IF_ERROR(CallWithRetry(options, [&](grpc::ClientContext& context) {
    response.Clear();
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request, &response,
                   [&done](grpc::Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  }));
  return response.status() == HealthCheckResponse::SERVING;
}

}  // namespace ferment::rpc
