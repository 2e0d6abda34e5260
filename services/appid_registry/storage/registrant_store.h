#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_REGISTRANT_STORE_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_REGISTRANT_STORE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/db/database.h"
#include "services/appid_registry/domain/registrant.h"
#include "services/appid_registry/storage/mutation.h"

namespace countersign::appid_registry {

// App Registrants in PostgreSQL. Thread-safe. Blocks. Errors are those named here and Database's.
class RegistrantStore {
 public:
  using Encode = absl::FunctionRef<std::string(const domain::Registrant&)>;

  // `database` must outlive it.
  explicit RegistrantStore(db::Database& database) : database_(database) {}

  // ALREADY_EXISTS (REGISTRANT_TAKEN).
  absl::StatusOr<std::string> Create(const Mutation& mutation, const domain::Registrant& registrant,
                                     Encode encode);
  // Replaces name and key. NOT_FOUND (REGISTRANT_UNKNOWN), PERMISSION_DENIED (REGISTRANT_OF_ANOTHER) unless
  // registrant.registrar registered it, ABORTED (ETAG_MISMATCH) unless registrant.revision is what is stored.
  absl::StatusOr<std::string> Update(const Mutation& mutation, const domain::Registrant& registrant,
                                     Encode encode);
  // nullopt when there is none.
  absl::StatusOr<std::optional<domain::Registrant>> Find(absl::string_view id);
  // At most `limit` after `after` ("" is the beginning), by id.
  absl::StatusOr<std::vector<domain::Registrant>> List(absl::string_view after, int limit);

 private:
  db::Database& database_;
};

// NOT_FOUND (REGISTRANT_UNKNOWN).
absl::Status RegistrantUnknown(absl::string_view id);

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_REGISTRANT_STORE_H_
