#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_HISTORY_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_HISTORY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "services/inventory/domain/component.h"
#include "services/inventory/storage/inventory_store.h"

namespace countersign::inventory {

// What was, newest first: rows are added and go by the month, and are never changed. Thread-safe. Blocks.
class History {
 public:
  explicit History(db::Database& database) : database_(database) {}

  // At most `limit` changes of a component before `before` (time, id), also behind the gateways that it was
  // moved away from. NOT_FOUND (COMPONENT_UNKNOWN), also for one that is not visible.
  using Position = std::pair<absl::Time, int64_t>;
  absl::StatusOr<std::vector<domain::ComponentChange>> ListChanges(absl::string_view gateway_id,
                                                                   absl::string_view ecu_serial,
                                                                   const Visibility& visibility,
                                                                   const std::optional<Position>& before,
                                                                   int limit);
  // At most `limit` refused reports that a gateway sent, before that of id `before`. NOT_FOUND
  // (GATEWAY_UNKNOWN).
  absl::StatusOr<std::vector<domain::RefusedReport>> ListRefused(absl::string_view gateway_id,
                                                                 std::optional<int64_t> before, int limit);

  // How far ahead partitions are made: long enough for somebody to see that they no longer are.
  static constexpr int kMonthsAhead = 3;

  // Makes the partitions of the month of `now` and of `months` after it. Returns how many were missing.
  // Changes of a month whose partition is just being made may fail: make it before there are any.
  absl::StatusOr<int> MakePartitions(absl::Time now, int months);
  // Drops the partitions of months that were over before `before`. Returns how many.
  absl::StatusOr<int> DropPartitions(absl::Time before);

 private:
  db::Database& database_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_HISTORY_H_
