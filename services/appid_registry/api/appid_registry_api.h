#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_API_APPID_REGISTRY_API_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_API_APPID_REGISTRY_API_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/crypto/signer.h"
#include "common/metrics/metrics.h"
#include "common/rpc/executor.h"
#include "common/rpc/handler.h"
#include "countersign/appid_registry/v1/appid_registry.pb.h"
#include "services/appid_registry/api/answer_cache.h"
#include "services/appid_registry/domain/answer.h"
#include "services/appid_registry/domain/authorities.h"
#include "services/appid_registry/storage/profile_store.h"
#include "services/appid_registry/storage/registrant_store.h"

namespace countersign::appid_registry {

// countersign.appid_registry.v1.AppIdRegistryService. What it is given must outlive it, and it must outlive
// the server that it is bound to.
class AppIdRegistryApi {
 public:
  struct Parts {
    ProfileStore& store;
    RegistrantStore& registrants;
    const domain::Authorities& authorities;
    const crypto::Signer& signer;
    metrics::Registry& registry;
    const Clock& clock;
    absl::Duration answer_validity;
    bool require_terms;  // of every profile that is registered
    int lookup_threads;
  };

  explicit AppIdRegistryApi(const Parts& parts);

  std::unique_ptr<rpc::Service> Bind();

 private:
  class Import;

  absl::Status CreateProfile(const rpc::Call& call, const v1::CreateProfileRequest& request,
                             v1::Profile* response);
  absl::Status GetProfile(const rpc::Call& call, const v1::GetProfileRequest& request, v1::Profile* response);
  absl::Status ListProfiles(const rpc::Call& call, const v1::ListProfilesRequest& request,
                            v1::ListProfilesResponse* response);
  absl::Status UpdateProfile(const rpc::Call& call, const v1::UpdateProfileRequest& request,
                             v1::Profile* response);
  absl::Status ListProfileVersions(const rpc::Call& call, const v1::ListProfileVersionsRequest& request,
                                   v1::ListProfileVersionsResponse* response);
  absl::Status ListProfileEvents(const rpc::Call& call, const v1::ListProfileEventsRequest& request,
                                 v1::ListProfileEventsResponse* response);
  absl::Status SuspendProfile(const rpc::Call& call, const v1::SuspendProfileRequest& request,
                              v1::Profile* response);
  absl::Status ReinstateProfile(const rpc::Call& call, const v1::ReinstateProfileRequest& request,
                                v1::Profile* response);
  absl::Status RevokeProfile(const rpc::Call& call, const v1::RevokeProfileRequest& request,
                             v1::Profile* response);
  absl::StatusOr<std::unique_ptr<rpc::Consumer<v1::ImportProfilesRequest, v1::ImportProfilesResponse>>>
  ImportProfiles(const rpc::Call& call);
  absl::Status IssueAppId(const rpc::Call& call, const v1::IssueAppIdRequest& request,
                          v1::IssuedAppId* response);
  absl::Status CreateRegistrant(const rpc::Call& call, const v1::CreateRegistrantRequest& request,
                                v1::Registrant* response);
  absl::Status GetRegistrant(const rpc::Call& call, const v1::GetRegistrantRequest& request,
                             v1::Registrant* response);
  absl::Status ListRegistrants(const rpc::Call& call, const v1::ListRegistrantsRequest& request,
                               v1::ListRegistrantsResponse* response);
  absl::Status UpdateRegistrant(const rpc::Call& call, const v1::UpdateRegistrantRequest& request,
                                v1::Registrant* response);
  void VerifyIdentity(const rpc::Call& call, const v1::VerifyIdentityRequest& request,
                      v1::VerifyIdentityResponse* response, rpc::Done done);

  // What `proto` wants to be registered by `registrar` at `now`: checked, with its terms verified.
  absl::StatusOr<domain::Registration> ToRegister(const std::string& registrar, const v1::Profile& proto,
                                                  absl::Time now);
  absl::Status VerifyTerms(domain::Registration& registration, absl::Time now);
  // OK if `registrar` administers App-IDs like this one.
  absl::Status CheckAuthority(const std::string& registrar, const std::string& app_id) const;
  // The profile, if the caller may see it.
  absl::StatusOr<domain::Registration> Visible(const rpc::Call& call, const std::string& app_id);

  template <typename Request>
  absl::Status ChangeState(const rpc::Call& call, const Request& request, domain::EventKind kind,
                           v1::Profile* response);

  absl::StatusOr<AnswerCache::Answer> MakeAnswer(const v1::VerifyIdentityRequest& request);
  void Count(const v1::VerifyIdentityResponse& answer) const;

  const Parts parts_;
  std::map<int, metrics::Counter> verifications_;  // by status
  AnswerCache answers_;
  rpc::Executor lookups_;  // last: its tasks use the others
};

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_API_APPID_REGISTRY_API_H_
