#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_GATEWAY_KEYS_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_GATEWAY_KEYS_H_

#include <cstddef>
#include <list>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/db/database.h"
#include "services/inventory/domain/manifest.h"

namespace countersign::inventory {

// The parsed keys of gateways and their components, as provisioned, with those used last kept in memory:
// parsing a key costs more than verifying with it. A key that is provisioned is never changed, so what is
// kept can only lack what was added since; whoever misses a component asks Reload. Thread-safe.
class GatewayKeyCache {
 public:
  // `database` must outlive it. Keeps at most `max_components`, of all gateways together (about 3 KB each).
  GatewayKeyCache(db::Database& database, size_t max_components)
      : database_(database), max_components_(max_components) {}

  // NOT_FOUND (GATEWAY_UNKNOWN). Blocks on the database when the gateway is not kept.
  absl::StatusOr<std::shared_ptr<const domain::GatewayKeys>> Get(absl::string_view gateway_id);
  // The same, read anew.
  absl::StatusOr<std::shared_ptr<const domain::GatewayKeys>> Reload(absl::string_view gateway_id);

 private:
  using Order = std::list<std::shared_ptr<const domain::GatewayKeys>>;

  void Keep(std::shared_ptr<const domain::GatewayKeys> keys);

  db::Database& database_;
  const size_t max_components_;
  absl::Mutex mutex_;
  Order order_ ABSL_GUARDED_BY(mutex_);  // used last first
  absl::flat_hash_map<std::string, Order::iterator> kept_ ABSL_GUARDED_BY(mutex_);
  size_t components_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_GATEWAY_KEYS_H_
