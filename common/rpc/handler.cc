#include "common/rpc/handler.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "grpcpp/support/byte_buffer.h"

namespace countersign::rpc {
namespace internal {

AnyMessage NewRawMessage() { return AnyMessage(std::make_shared<grpc::ByteBuffer>()); }

}  // namespace internal

namespace {

bool Fits(const internal::MessageType& type, const google::protobuf::Descriptor* declared) {
  return type.descriptor == nullptr || type.descriptor == declared;
}

// What is wrong between a handler and the method it claims to be; "" if nothing.
std::string Misfit(const internal::Method& handler, const google::protobuf::MethodDescriptor& declared) {
  const bool client_streams = handler.kind == internal::Kind::kClientStream;
  const bool server_streams = handler.kind == internal::Kind::kServerStream;
  if (declared.client_streaming() != client_streams || declared.server_streaming() != server_streams) {
    return absl::StrCat(handler.name, " streams otherwise than its handler");
  }
  if (!Fits(handler.request, declared.input_type())) {
    return absl::StrCat(handler.name, " takes ", declared.input_type()->full_name(), ", not ",
                        handler.request.descriptor->full_name());
  }
  if (!Fits(handler.response, declared.output_type())) {
    return absl::StrCat(handler.name, " returns ", declared.output_type()->full_name(), ", not ",
                        handler.response.descriptor->full_name());
  }
  return "";
}

}  // namespace

Service::Service(const RoleTable& roles) : roles_(roles) {}

Service::~Service() = default;

void Service::Add(internal::Method method) { methods_.push_back(std::move(method)); }

absl::Status Service::Validate() const {
  RETURN_IF_ERROR(roles_.CheckComplete());
  const google::protobuf::ServiceDescriptor& service =
      *google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(roles_.service());
  std::vector<std::string> wrong;
  std::set<std::string> handled;
  for (const internal::Method& method : methods_) {
    const google::protobuf::MethodDescriptor* declared = service.FindMethodByName(method.name);
    if (declared == nullptr) {
      wrong.push_back(absl::StrCat(method.name, " is no method"));
    } else if (!handled.insert(method.name).second) {
      wrong.push_back(absl::StrCat(method.name, " has two handlers"));
    } else if (std::string misfit = Misfit(method, *declared); !misfit.empty()) {
      wrong.push_back(std::move(misfit));
    }
  }
  for (const auto& [method, row] : roles_.rows()) {
    const bool closed = row.roles.empty() && row.services.empty();
    if (!closed && handled.count(method) == 0) wrong.push_back(absl::StrCat(method, " has no handler"));
  }
  if (wrong.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "HANDLERS_DO_NOT_FIT",
               absl::StrCat("the handlers of ", roles_.service(), ": ", absl::StrJoin(wrong, ", ")));
}

}  // namespace countersign::rpc
