#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_TESTING_FILTER_GENERATOR_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_TESTING_FILTER_GENERATOR_H_

#include <cstdint>
#include <random>
#include <string>

#include "services/inventory/domain/filter.h"

namespace countersign::inventory::domain {

// Well-formed filters from a seed, over the few values that its caller's rows have, so that they select some.
class FilterGenerator {
 public:
  FilterGenerator(uint32_t seed, Resource resource, absl::Time now)
      : random_(seed), resource_(resource), now_(now) {}

  std::string Next() { return Conjunction(0); }

  // A value that a row may have: few of each field. Empty for none.
  std::string Text(Field field);
  int64_t Number(const FieldInfo& info);
  absl::Time Time();
  std::string TagName() { return Pick({"site", "ring", "vip"}); }
  std::string TagValue() { return Pick({"berlin", "bonn", "paris", "canary", "*", "a b"}); }
  int Below(int limit) { return static_cast<int>(random_() % static_cast<uint32_t>(limit)); }

 private:
  std::string Pick(std::initializer_list<const char*> from);
  std::string Conjunction(int depth);
  std::string Factor(int depth);
  std::string Term(int depth);
  std::string Restriction();
  std::string Value(std::string text, bool wildcard);

  std::mt19937 random_;
  const Resource resource_;
  const absl::Time now_;
};

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_TESTING_FILTER_GENERATOR_H_
