#include "services/inventory/clients/appid_registry_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/errors.h"
#include "countersign/appid_registry/v1/appid_registry.grpc.pb.h"

namespace countersign::inventory {

using appid_registry::v1::AppIdRegistryService;
using appid_registry::v1::VerifyIdentityRequest;
using appid_registry::v1::VerifyIdentityResponse;

namespace {

constexpr size_t kMaxFindings = 32;

}  // namespace

struct AppIdRegistryClient::State {
  std::unique_ptr<AppIdRegistryService::Stub> stub;
};

AppIdRegistryClient::AppIdRegistryClient(const rpc::Dialer& dialer, absl::string_view address)
    : state_(new State{
          AppIdRegistryService::NewStub(dialer.Dial(address, {rpc::Role::kService, "appid-registry"}))}) {}

AppIdRegistryClient::~AppIdRegistryClient() = default;

absl::StatusOr<AppIdRegistryClient::Verdict> AppIdRegistryClient::Verify(absl::string_view app_id,
                                                                         absl::Time deadline) {
  VerifyIdentityRequest request;
  request.set_app_id(std::string(app_id));
  VerifyIdentityResponse response;
  rpc::CallContext context(deadline);
  const absl::Status status = rpc::FromGrpc(state_->stub->VerifyIdentity(context.get(), request, &response));
  if (absl::IsInvalidArgument(status)) return Annotate(status, "app_id");
  if (!status.ok()) {
    return Error(absl::StatusCode::kUnavailable, "APP_ID_REGISTRY_UNAVAILABLE",
                 absl::StrCat("The App-ID registry could not be asked about \"", app_id,
                              "\"; try again later. It answered: ", status.message()));
  }
  Verdict verdict;
  switch (response.status()) {
    case VerifyIdentityResponse::STATUS_REGISTERED:
      verdict.status = domain::AppIdStatus::kRegistered;
      break;
    case VerifyIdentityResponse::STATUS_NOT_REGISTERED:
      verdict.status = domain::AppIdStatus::kNotRegistered;
      break;
    default:
      verdict.status = domain::AppIdStatus::kNotInForce;
  }
  for (const appid_registry::v1::Finding& finding : response.findings()) {
    if (verdict.findings.size() == kMaxFindings) break;
    verdict.findings.push_back(
        {finding.reason(),
         std::string(
             absl::StripPrefix(appid_registry::v1::Finding::Severity_Name(finding.severity()), "SEVERITY_")),
         finding.message()});
  }
  return verdict;
}

}  // namespace countersign::inventory
