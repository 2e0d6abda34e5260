// The keys and the certificate of a simulated gateway.
#ifndef COUNTERSIGN_TOOLS_FLEET_IDENTITY_H_
#define COUNTERSIGN_TOOLS_FLEET_IDENTITY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/signer.h"
#include "common/rpc/memory_dialer.h"
#include "tools/fleet/plan.h"
#include "tools/pki/pki.h"

namespace countersign::fleet {

// Parsed once. They follow from the seed, so that who was provisioned is the same in every run.
struct GatewayKeys {
  crypto::PemSigner manifest;
  crypto::PemSigner proxy;
  std::vector<crypto::PemSigner> components;  // in the plan's order
};

// `forged`: the keys that a liar has in the place of the components' own.
absl::StatusOr<GatewayKeys> DeriveKeys(const GatewayPlan& plan, crypto::KeyType type, const std::string& seed,
                                       bool forged);

// A certificate of `authority` that is nowhere but in memory, for a day.
absl::StatusOr<rpc::MemoryTls> IssueTls(const pki::Authority& authority, const rpc::Identity& identity,
                                        absl::Time now);

}  // namespace countersign::fleet

#endif  // COUNTERSIGN_TOOLS_FLEET_IDENTITY_H_
