#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_PACKAGE_STATE_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_PACKAGE_STATE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/metadata.h"
#include "services/package_store/domain/values.h"

// What becomes of packages once they are published.
namespace countersign::package_store {

// "APPROVED", ... and "PROPOSED", ...; the other way round INTERNAL if there is none of that name, since only
// the store writes them.
absl::string_view PackageStateName(PackageState state);
absl::StatusOr<PackageState> ParsePackageState(absl::string_view name);
absl::string_view PackageEventKindName(PackageEventKind kind);
absl::StatusOr<PackageEventKind> ParsePackageEventKind(absl::string_view name);

// Whether `statement` (a DSSE envelope) is the Management Authority's revocation of exactly `package`, for
// `reason`: signed by nobody but keys of the authority that approved it, which `delegations` still name, and
// made after the approval. Returns the ids of those keys. INVALID_ARGUMENT (STATEMENT_INVALID, UNKNOWN_KEY,
// SIGNATURE_INVALID).
absl::StatusOr<std::vector<std::string>> CheckRevocation(const Package& package,
                                                         const trust::Delegations& delegations,
                                                         absl::string_view reason,
                                                         absl::string_view statement, absl::Time now);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_PACKAGE_STATE_H_
