// SPDX-License-Identifier: Apache-2.0
#include "coordinator/rpc/caller_check.h"

namespace ferment::coordinator {

Result<rpc::Caller> CallerCheck::CallerOf(const grpc::ServerContextBase& context) const {
  return authenticator_->Identify(*context.auth_context(), context.client_metadata());
}

Status CallerCheck::StillKnown(const grpc::ServerContextBase& context) const {
  if (!enabled()) return {};
  const auto caller = CallerOf(context);
  return caller ? Status() : caller.error();
}

Result<std::string> CallerCheck::LabelerName(const grpc::ServerContextBase& context, const std::string& name,
                                             const std::string& incarnation) const {
  if (!enabled()) return name;
  FERMENT_ASSIGN_OR_RETURN(const rpc::Caller caller, CallerOf(context));
  if (name.empty() || name.find_first_of("@/") != std::string::npos || incarnation.find('/') != std::string::npos) {
    return Fail(InvalidArgumentError("a labeler's name has neither @ nor /, its incarnation no /: name=" + name +
                                     " incarnation=" + incarnation));
  }
  return name + "@" + caller.who;
}

Status CallerCheck::OwnsLabeler(const grpc::ServerContextBase& context, const std::string& labeler_id) const {
  if (!enabled()) return {};
  if (labeler_id.empty()) return InvalidArgumentError("no labeler_id");
  FERMENT_ASSIGN_OR_RETURN(const rpc::Caller caller, CallerOf(context));
  const std::size_t owner = labeler_id.find('@');
  const std::size_t incarnation = labeler_id.rfind('/');
  const bool formed = owner != std::string::npos && incarnation != std::string::npos && owner < incarnation;
  if (formed && labeler_id.substr(owner + 1, incarnation - owner - 1) == caller.who) return {};
  return PermissionDeniedError("this labeler registered with other credentials: labeler=" + labeler_id +
                               " who=" + caller.who);
}

Status CallerCheck::MayTouchRun(const grpc::ServerContextBase& context, const std::string& run_id) const {
  if (!enabled()) return {};
  FERMENT_ASSIGN_OR_RETURN(const rpc::Caller caller, CallerOf(context));
  if (caller.name.empty() || caller.name == run_id) return {};
  return PermissionDeniedError("this certificate is for another run: run=" + run_id + " who=" + caller.who);
}

}  // namespace ferment::coordinator
