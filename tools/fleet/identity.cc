#include "tools/fleet/identity.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/derived_key.h"
#include "common/status/macros.h"

namespace countersign::fleet {

absl::StatusOr<GatewayKeys> DeriveKeys(const GatewayPlan& plan, crypto::KeyType type, const std::string& seed,
                                       bool forged) {
  const auto derive = [&](absl::string_view owner) {
    return crypto::DeriveSigner(type, KeySecret(seed, owner));
  };
  const absl::string_view whose = forged ? "/forged" : "";
  ASSIGN_OR_RETURN(crypto::PemSigner manifest, derive(plan.id));
  ASSIGN_OR_RETURN(crypto::PemSigner proxy, derive(absl::StrCat(plan.id, "/proxy", whose)));
  GatewayKeys keys{std::move(manifest), std::move(proxy), {}};
  keys.components.reserve(plan.components.size());
  for (const ComponentPlan& component : plan.components) {
    ASSIGN_OR_RETURN(crypto::PemSigner key, derive(absl::StrCat(component.serial, whose)));
    keys.components.push_back(std::move(key));
  }
  return keys;
}

absl::StatusOr<rpc::MemoryTls> IssueTls(const pki::Authority& authority, const rpc::Identity& identity,
                                        absl::Time now) {
  ASSIGN_OR_RETURN(crypto::CertificateAndKey leaf,
                   authority.Issue(identity, pki::LoopbackNames(), now, absl::Hours(24)));
  return rpc::MemoryTls{.certificate_pem = std::move(leaf.certificate_pem),
                        .key_pem = std::move(leaf.key_pem),
                        .ca_pem = authority.certificate().certificate_pem,
                        .trust_domain = authority.trust_domain()};
}

}  // namespace countersign::fleet
