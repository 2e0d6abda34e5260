#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_FLEET_QUERIES_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_FLEET_QUERIES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/db/database.h"
#include "services/inventory/domain/component.h"
#include "services/inventory/domain/filter.h"
#include "services/inventory/storage/inventory_store.h"

namespace countersign::inventory {

// How a list of components is ordered. Whatever has no value is lowest; equals are in the order of (gateway,
// ecu_serial), descending when the list is.
struct ComponentOrder {
  enum class By { kName, kReportTime, kVersion, kFailureCount, kRefusedReports };
  By by = By::kName;
  bool descending = false;
};

// A component, and its place in an order, which a next page continues after: the value that it is ordered by
// (unless by name), gateway and serial.
struct PlacedComponent {
  domain::Component component;
  std::vector<std::string> place;
};

// How many components have these values of the fields that were asked for.
struct ComponentCount {
  std::vector<std::string> values;
  int64_t count;
};

struct ComponentCounts {
  int64_t total = 0;
  std::vector<ComponentCount> groups;  // the largest first
  bool truncated = false;              // there are more groups
};

// How the database would answer a filter.
struct Explanation {
  std::vector<std::string> indexes;
  bool full_scan = false;  // it would read all components, or an index of all
  int64_t estimated_rows = 0;
  std::string plan;  // for people
};

inline constexpr int kMaxGroups = 1000;

// Questions about the fleet. Every filter is answered by the indexes of migration 0003 where it selects few,
// and bound parameters only reach the database. Thread-safe. Blocks. Errors are Database's.
class FleetQueries {
 public:
  // `database` must outlive it.
  explicit FleetQueries(db::Database& database) : database_(database) {}

  // At most `limit` gateways after `after` ("" is the beginning), by id.
  absl::StatusOr<std::vector<domain::Gateway>> ListGateways(const domain::Filter& filter,
                                                            absl::string_view after, int limit);
  // At most `limit` devices after `after`, by (gateway, device); of `gateway_id`, or of all when it is "".
  absl::StatusOr<std::vector<domain::Device>> ListDevices(absl::string_view gateway_id,
                                                          const domain::Filter& filter,
                                                          const Visibility& visibility,
                                                          const std::pair<std::string, std::string>& after,
                                                          int limit);
  // At most `limit` components after the place `after` (empty is the beginning).
  absl::StatusOr<std::vector<PlacedComponent>> ListComponents(const domain::Filter& filter,
                                                              const Visibility& visibility,
                                                              ComponentOrder order,
                                                              absl::Span<const std::string> after, int limit);

  // How one goes through all that a filter selects, in the order of (gateway, ecu_serial).
  enum class Walk {
    kSelect,  // finds all that is selected, and sorts it, for each batch: for few
    kInOrder  // along an index that has the order, past what is not selected: for many, each row once
  };
  // Which is right for `filter`, by the database's estimate.
  absl::StatusOr<Walk> ChooseWalk(const domain::Filter& filter, const Visibility& visibility);
  // At most `limit` components after `after`, by (gateway, ecu_serial).
  absl::StatusOr<std::vector<domain::Component>> NextComponents(const domain::Filter& filter,
                                                                const Visibility& visibility, Walk walk,
                                                                const ComponentKey& after, int limit);

  // `fields` are of GroupFields().
  absl::StatusOr<ComponentCounts> CountComponents(const domain::Filter& filter, const Visibility& visibility,
                                                  absl::Span<const domain::Field> fields);

  absl::StatusOr<Explanation> Explain(const domain::Filter& filter, const Visibility& visibility);

 private:
  db::Database& database_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_FLEET_QUERIES_H_
