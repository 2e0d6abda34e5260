// App Registrants.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/db/page_token.h"
#include "common/rpc/mutation.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/appid_registry/api/appid_registry_api.h"
#include "services/appid_registry/api/convert.h"

namespace countersign::appid_registry {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;

template <typename Request>
Mutation MutationOf(const rpc::Call& call, const Request& request) {
  return {call.identity().ToString(), call.method(), request.request_id(), rpc::RequestBytes(request)};
}

absl::Status Answer(const absl::StatusOr<std::string>& bytes, v1::Registrant* response) {
  if (!bytes.ok()) return bytes.status();
  if (!response->ParseFromString(*bytes)) return absl::InternalError("a recorded response cannot be read");
  return absl::OkStatus();
}

std::string Encoded(const domain::Registrant& registrant) { return ToProto(registrant).SerializeAsString(); }

}  // namespace

absl::Status AppIdRegistryApi::CreateRegistrant(const rpc::Call& call,
                                                const v1::CreateRegistrantRequest& request,
                                                v1::Registrant* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(domain::Registrant registrant, FromProto(request.registrant()));
  RETURN_IF_ERROR(domain::CheckRegistrant(registrant));
  registrant.registrar = call.identity().id;
  registrant.create_time = absl::FromUnixMicros(absl::ToUnixMicros(parts_.clock.Now()));
  return Answer(parts_.registrants.Create(MutationOf(call, request), registrant, Encoded), response);
}

absl::Status AppIdRegistryApi::UpdateRegistrant(const rpc::Call& call,
                                                const v1::UpdateRegistrantRequest& request,
                                                v1::Registrant* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(domain::Registrant registrant, FromProto(request.registrant()));
  RETURN_IF_ERROR(domain::CheckRegistrant(registrant));
  ASSIGN_OR_RETURN(const std::optional<int64_t> revision, ParseEtag(request.registrant().etag()));
  if (!revision.has_value()) {
    return Error(absl::StatusCode::kInvalidArgument, "REGISTRANT_INVALID",
                 "etag: is required, so that no change of another's is undone unseen.");
  }
  registrant.registrar = call.identity().id;
  registrant.revision = *revision;
  return Answer(parts_.registrants.Update(MutationOf(call, request), registrant, Encoded), response);
}

absl::Status AppIdRegistryApi::GetRegistrant(const rpc::Call&, const v1::GetRegistrantRequest& request,
                                             v1::Registrant* response) {
  ASSIGN_OR_RETURN(const std::string id, ParseRegistrantName(request.name()));
  ASSIGN_OR_RETURN(const std::optional<domain::Registrant> registrant, parts_.registrants.Find(id));
  if (!registrant.has_value()) return RegistrantUnknown(id);
  *response = ToProto(*registrant);
  return absl::OkStatus();
}

absl::Status AppIdRegistryApi::ListRegistrants(const rpc::Call& call,
                                               const v1::ListRegistrantsRequest& request,
                                               v1::ListRegistrantsResponse* response) {
  const std::string& scope = call.method();
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPageSize, kMaxPageSize));
  ASSIGN_OR_RETURN(const std::vector<std::string> after, db::DecodePageToken(scope, request.page_token(), 1));
  ASSIGN_OR_RETURN(const std::vector<domain::Registrant> registrants,
                   parts_.registrants.List(after.empty() ? "" : after[0], page_size + 1));
  for (const domain::Registrant& registrant : registrants) {
    if (response->registrants_size() == page_size) {
      response->set_next_page_token(db::EncodePageToken(scope, {registrants[page_size - 1].id}));
      break;
    }
    *response->add_registrants() = ToProto(registrant);
  }
  return absl::OkStatus();
}

}  // namespace countersign::appid_registry
