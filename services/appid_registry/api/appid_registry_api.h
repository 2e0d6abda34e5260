#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_API_APPID_REGISTRY_API_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_API_APPID_REGISTRY_API_H_

#include <map>
#include <memory>

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
#include "services/appid_registry/storage/profile_store.h"

namespace countersign::appid_registry {

// countersign.appid_registry.v1.AppIdRegistryService. What it is given must outlive it, and it must outlive
// the server that it is bound to.
class AppIdRegistryApi {
 public:
  struct Parts {
    ProfileStore& store;
    const crypto::Signer& signer;
    metrics::Registry& registry;
    const Clock& clock;
    absl::Duration answer_validity;
    int lookup_threads;
  };

  explicit AppIdRegistryApi(const Parts& parts);

  std::unique_ptr<rpc::Service> Bind();

 private:
  absl::Status CreateProfile(const rpc::Call& call, const v1::CreateProfileRequest& request,
                             v1::Profile* response);
  absl::Status GetProfile(const rpc::Call& call, const v1::GetProfileRequest& request, v1::Profile* response);
  absl::Status ListProfiles(const rpc::Call& call, const v1::ListProfilesRequest& request,
                            v1::ListProfilesResponse* response);
  void VerifyIdentity(const rpc::Call& call, const v1::VerifyIdentityRequest& request,
                      v1::VerifyIdentityResponse* response, rpc::Done done);

  absl::StatusOr<AnswerCache::Answer> MakeAnswer(const v1::VerifyIdentityRequest& request);
  void Count(const v1::VerifyIdentityResponse& answer) const;

  const Parts parts_;
  std::map<int, metrics::Counter> verifications_;  // by status
  AnswerCache answers_;
  rpc::Executor lookups_;  // last: its tasks use the others
};

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_API_APPID_REGISTRY_API_H_
