#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_REFUSALS_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_REFUSALS_H_

#include "absl/status/status.h"

namespace countersign::package_store {

// A refusal by common/trust with the code and reason that this service's API promises for it: the library
// speaks to clients of a repository, the store to those who publish in it. Other statuses stay as they are.
absl::Status AsStoreError(const absl::Status& status);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_REFUSALS_H_
