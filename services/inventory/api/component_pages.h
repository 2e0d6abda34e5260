#ifndef COUNTERSIGN_SERVICES_INVENTORY_API_COMPONENT_PAGES_H_
#define COUNTERSIGN_SERVICES_INVENTORY_API_COMPONENT_PAGES_H_

#include <memory>

#include "common/rpc/handler.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "services/inventory/domain/filter.h"
#include "services/inventory/storage/fleet_queries.h"

namespace countersign::inventory {

// All components that `filter` selects, at most 500 a message, however many they are in the same memory.
// `queries` must outlive it.
std::unique_ptr<rpc::Producer<v1::StreamComponentsResponse>> NewComponentPages(FleetQueries& queries,
                                                                               domain::Filter filter,
                                                                               Visibility visibility);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_API_COMPONENT_PAGES_H_
