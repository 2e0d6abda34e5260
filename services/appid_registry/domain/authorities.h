#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_AUTHORITIES_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_AUTHORITIES_H_

#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::appid_registry::domain {

// Which registrar may issue App-IDs under which authority id. An authority id is one registrar's, so that
// what one issues cannot be another's.
class Authorities {
 public:
  // From "ara=a01,ara=a02,other=b7". INVALID_ARGUMENT (AUTHORITIES_INVALID) with what is wrong.
  static absl::StatusOr<Authorities> Parse(absl::string_view text);

  // OK if `authority_id` is `registrar`'s; PERMISSION_DENIED (AUTHORITY_OF_ANOTHER) that names those which
  // are.
  absl::Status Check(absl::string_view registrar, absl::string_view authority_id) const;

 private:
  std::map<std::string, std::set<std::string>, std::less<>> by_registrar_;
};

}  // namespace countersign::appid_registry::domain

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_AUTHORITIES_H_
