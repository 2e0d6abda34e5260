#ifndef COUNTERSIGN_TOOLS_CSE_GUARD_GUARD_H_
#define COUNTERSIGN_TOOLS_CSE_GUARD_GUARD_H_

#include <map>
#include <optional>
#include <string>

#include "common/crypto/chain.h"
#include "common/metrics/metrics.h"
#include "tools/cse_guard/backend.h"
#include "tools/cse_guard/examine.h"
#include "tools/cse_guard/grants.h"
#include "tools/cse_guard/http.h"
#include "tools/cse_guard/listener.h"
#include "tools/cse_guard/policy.h"
#include "tools/cse_guard/registry.h"

namespace countersign::cse_guard {

// Stands before a CSE: an <AE> is created only when the policy, with what the registry says of it, accepts it
// (APPID-3, 4, 5), and has what its profile gives it and no more (APPID-7). Thread-safe.
class Guard {
 public:
  struct Parts {
    const Policy& policy;
    Registry& registry;
    Admissions& admissions;
    const Backend& backend;
    metrics::Registry& metrics;
  };

  explicit Guard(const Parts& parts);

  // The answer to `request`: the CSE's, or a refusal with X-M2M-RSC and an m2m:dbg.
  HttpResponse Handle(const HttpRequest& request, const Peer& peer);

 private:
  // Who is at the other end, as far as its certificates say.
  struct Credential {
    std::string name;        // equal for what stands for the same application; "" for none
    std::string protection;  // what its issuer attests; "" for nothing
  };

  absl::StatusOr<Credential> CredentialOf(const Peer& peer) const;
  HttpResponse Register(const HttpRequest& request, const Examined& examined, const Peer& peer,
                        const Credential& credential);
  // What somebody who was let in may not do; changes what `request` creates to keep within the grant.
  std::optional<Refusal> CheckGrant(const Admission& admission, const Examined& examined,
                                    HttpRequest& request) const;
  HttpResponse Refuse(const HttpRequest& request, const Refusal& refusal, const char* kind);
  HttpResponse Forward(const HttpRequest& request, const char* kind);

  const Parts parts_;
  metrics::CounterFamily requests_;
  metrics::CounterFamily answers_;
  metrics::Histogram cse_seconds_;
};

}  // namespace countersign::cse_guard

#endif  // COUNTERSIGN_TOOLS_CSE_GUARD_GUARD_H_
