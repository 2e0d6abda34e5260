#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_TESTING_MANIFEST_TARGET_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_TESTING_MANIFEST_TARGET_H_

#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/crypto/signer.h"
#include "services/inventory/domain/manifest.h"

namespace countersign::inventory::domain::testing {

// What fuzzers feed: a gateway of fixed keys, and all that the service does with a manifest before it asks
// the database. Aborts when something is believed that the keys did not sign.
class ManifestTarget {
 public:
  ManifestTarget();

  // Signed manifests to begin with: of components that sign and one that does not, with reports that are
  // refused, with incidents, and of nothing at all.
  const std::vector<std::string>& seeds() const { return seeds_; }

  struct Outcome {
    bool readable = false;  // it is a gateway manifest, whoever signed it
    bool believed = false;  // it is the gateway's word
    int accepted = 0;       // reports that are their component's word
  };
  Outcome Take(absl::string_view bytes) const;

 private:
  std::string Seed(trust::GatewayManifest manifest);
  trust::Envelope SignedReport(const trust::VersionReport& report, const crypto::Signer& signer);

  crypto::PemSigner gateway_;
  crypto::PemSigner proxy_;
  crypto::PemSigner device_;
  GatewayKeys keys_;
  std::vector<std::string> seeds_;
  std::set<std::string> signed_;  // every content that one of the keys signed
};

}  // namespace countersign::inventory::domain::testing

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_TESTING_MANIFEST_TARGET_H_
