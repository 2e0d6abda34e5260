// What all gateways of a fleet share.
#ifndef COUNTERSIGN_TOOLS_FLEET_SHARED_H_
#define COUNTERSIGN_TOOLS_FLEET_SHARED_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/crypto/public_key.h"
#include "common/trust/trusted_store.h"
#include "tools/fleet/plan.h"
#include "tools/fleet/statistics.h"
#include "tools/pki/pki.h"

namespace countersign::fleet {

// The metadata of the image repository are the same for all: each gateway keeps what it has verified itself,
// and equal bytes are in memory once. Thread-safe.
class SharedBytes {
 public:
  std::shared_ptr<const std::string> Keep(absl::string_view bytes);

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::weak_ptr<const std::string>> kept_ ABSL_GUARDED_BY(mutex_);
};

// A gateway's verified metadata of one repository. Not thread-safe.
class SharedStore : public trust::TrustedStore {
 public:
  // `bytes` outlives it.
  explicit SharedStore(SharedBytes* bytes) : bytes_(*bytes) {}
  absl::StatusOr<std::optional<std::string>> Load(absl::string_view role) const override;
  absl::Status Save(absl::string_view role, absl::string_view content) override;
  absl::Status Remove(absl::string_view role) override;

 private:
  SharedBytes& bytes_;
  std::map<std::string, std::shared_ptr<const std::string>, std::less<>> roles_;
};

struct Addresses {
  std::string inventory, rollout, package_store, consent;
};

struct RunOptions {
  std::string seed;
  crypto::KeyType key_type = crypto::KeyType::kEd25519;
  Addresses addresses;
  std::string director_root;  // the bytes
  std::string image_root;
  double verified = 1;    // share of the looks at metadata that verify them, as a gateway has to
  double downloaded = 0;  // share of the updates whose images are really downloaded
  bool resume = false;    // goes on from what the inventory last heard
  int64_t first_counter = 1;
  absl::Duration check_in_interval = absl::Minutes(5);  // or what the server says, if that is sooner
  absl::Duration report_interval = absl::Hours(24);
};

// Thread-safe; outlives the gateways.
struct Shared {
  const RunOptions& options;
  const std::vector<Product>& products;
  const pki::Authority& authority;
  const Clock& clock;
  Statistics& statistics;
  SharedBytes& image_metadata;
  // A gateway has something to do at a time.
  std::function<void(int gateway, absl::Time)> wake;
};

}  // namespace countersign::fleet

#endif  // COUNTERSIGN_TOOLS_FLEET_SHARED_H_
