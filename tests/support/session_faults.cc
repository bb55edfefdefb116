// SPDX-License-Identifier: Apache-2.0
#include "tests/support/session_faults.h"

#include <dlfcn.h>
#include <libpq-fe.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>

namespace ferment::testing {
namespace {

SessionFaults::Kind fault;
int fault_at = 0;
std::atomic<bool> armed = false;
std::atomic<int> statements = 0;

int Send(PGconn* session, const std::function<int()>& send) {
  if (!armed || ++statements != fault_at) return send();
  if (fault == SessionFaults::Kind::kLostAfter) {
    if (send() == 0) return 0;
    while (PGresult* answer = PQgetResult(session)) PQclear(answer);
  }
  shutdown(PQsocket(session), SHUT_RDWR);
  return fault == SessionFaults::Kind::kLostAfter ? 1 : send();
}

template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

SessionFaults::SessionFaults(Kind kind, int at) {
  fault = kind;
  fault_at = at;
  statements = 0;
  armed = true;
}

SessionFaults::~SessionFaults() { armed = false; }

bool SessionFaults::happened() const { return statements >= fault_at; }

}  // namespace ferment::testing

extern "C" int PQsendQuery(PGconn* session, const char* sql) {
  static auto* const real = ferment::testing::Real<decltype(PQsendQuery)>("PQsendQuery");
  return ferment::testing::Send(session, [&] { return real(session, sql); });
}

extern "C" int PQsendQueryParams(PGconn* session, const char* sql, int count, const Oid* types,
                                 const char* const* values, const int* lengths, const int* formats, int binary) {
  static auto* const real = ferment::testing::Real<decltype(PQsendQueryParams)>("PQsendQueryParams");
  return ferment::testing::Send(session,
                                [&] { return real(session, sql, count, types, values, lengths, formats, binary); });
}
