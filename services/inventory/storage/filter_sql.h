#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_FILTER_SQL_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_FILTER_SQL_H_

#include <string>
#include <utility>
#include <vector>

#include "services/inventory/domain/filter.h"

namespace countersign::inventory {

// The values of a query's parameters. What comes from outside gets into SQL by Bind and in no other way.
class Parameters {
 public:
  // The placeholder of `value`. It goes as text: where the query does not show the type, it has to be cast.
  std::string Bind(std::string value);
  const std::vector<std::string>& values() const { return values_; }

 private:
  std::vector<std::string> values_;
};

// `filter` as a condition on its resource's row, which has the alias c (components), d (devices) or g
// (gateways) in the query. True exactly for the rows that the filter selects, else false or NULL.
std::string FilterCondition(const domain::Filter& filter, Parameters& parameters);

// The value of a field of components as text, for counting by it; '' when there is none. `join` gets the
// table that has it, when it is another one.
std::string GroupExpression(domain::Field field, std::string* join);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_FILTER_SQL_H_
