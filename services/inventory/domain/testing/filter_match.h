#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_TESTING_FILTER_MATCH_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_TESTING_FILTER_MATCH_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "services/inventory/domain/filter.h"

// What a filter means, as plainly as it can be said: for tests, which compare the database's answers with it.
namespace countersign::inventory::domain {

// The values of one resource. What it has no value for is absent; an empty text is absent too.
struct FilterRow {
  std::map<Field, std::string> texts;  // text, version
  std::map<Field, int64_t> numbers;    // number, enum, flag
  std::map<Field, absl::Time> times;
  std::map<std::string, std::string> tags;
};

bool Matches(const Filter& filter, const FilterRow& row);

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_TESTING_FILTER_MATCH_H_
