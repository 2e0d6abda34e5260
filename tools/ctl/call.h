// Calls of `countersign` to the services.
#ifndef COUNTERSIGN_TOOLS_CTL_CALL_H_
#define COUNTERSIGN_TOOLS_CTL_CALL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/random.h"
#include "common/rpc/channel.h"
#include "common/status/macros.h"
#include "tools/ctl/session.h"

namespace countersign::ctl {

// The stub of a service, e.g. MakeStub<v1::RolloutService>(session, "rollout").
template <typename Service>
absl::StatusOr<std::unique_ptr<typename Service::Stub>> MakeStub(Session& session,
                                                                 absl::string_view service) {
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, session.Dial(service));
  return Service::NewStub(channel);
}

// One call. `Stub` is given so that its methods can be named: Call(session, stub, &Stub::GetRollout,
// request).
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(Session& session, Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                              const Request& request) {
  rpc::CallContext context(session.timeout());
  Response response;
  RETURN_IF_ERROR(rpc::FromGrpc((stub.*method)(context.get(), request, &response)));
  return response;
}

// All pages of a list: `rows` gets what `field` takes from each response.
template <typename Stub, typename Request, typename Response, typename Row>
absl::StatusOr<std::vector<Row>> ListAll(
    Session& session, Stub& stub,
    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), Request request,
    const google::protobuf::RepeatedPtrField<Row>& (Response::*field)() const) {
  std::vector<Row> rows;
  do {
    ASSIGN_OR_RETURN(Response response, Call(session, stub, method, request));
    for (const Row& row : (response.*field)()) rows.push_back(row);
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return rows;
}

// Asks for one resource and prints it.
template <typename Service, typename Request, typename Response>
absl::Status CallAndPrint(Session& session, absl::string_view service,
                          grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                Response*),
                          const Request& request) {
  ASSIGN_OR_RETURN(auto stub, MakeStub<Service>(session, service));
  ASSIGN_OR_RETURN(Response response, Call(session, *stub, method, request));
  session.Print(response);
  return absl::OkStatus();
}

// Asks for all pages of a list and prints them as a table.
template <typename Service, typename Request, typename Response, typename Row>
absl::Status ListAndPrint(Session& session, absl::string_view service,
                          grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                Response*),
                          const Request& request,
                          const google::protobuf::RepeatedPtrField<Row>& (Response::*field)() const,
                          const std::vector<Column>& columns) {
  ASSIGN_OR_RETURN(auto stub, MakeStub<Service>(session, service));
  ASSIGN_OR_RETURN(std::vector<Row> rows, ListAll(session, *stub, method, request, field));
  std::vector<const google::protobuf::Message*> messages;
  for (const Row& row : rows) messages.push_back(&row);
  session.PrintTable(messages, columns);
  return absl::OkStatus();
}

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_CALL_H_
