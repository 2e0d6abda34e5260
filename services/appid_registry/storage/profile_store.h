#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_PROFILE_STORE_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_PROFILE_STORE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/db/database.h"
#include "services/appid_registry/domain/profile.h"

namespace countersign::appid_registry {

// Who asks for a change, and what identifies the request (common/db/request_ids.h).
struct Mutation {
  std::string principal;
  std::string method;
  std::string request_id;
  std::string request_bytes;
};

// Profiles in PostgreSQL. Thread-safe. Blocks. Errors are those named here and Database's.
class ProfileStore {
 public:
  // `database` must outlive it.
  explicit ProfileStore(db::Database& database) : database_(database) {}

  // Stores `profile` and returns what `encode` makes of it, or what an equal request got before.
  // ALREADY_EXISTS (APP_ID_TAKEN).
  absl::StatusOr<std::string> Create(const Mutation& mutation, const domain::Profile& profile,
                                     absl::FunctionRef<std::string(const domain::Profile&)> encode);

  // nullopt when `app_id` is not registered.
  absl::StatusOr<std::optional<domain::Profile>> Find(absl::string_view app_id);

  // At most `limit` profiles after `after` ("" is the beginning), by App-ID; those of `manufacturer` if it is
  // given.
  absl::StatusOr<std::vector<domain::Profile>> List(const std::optional<std::string>& manufacturer,
                                                    absl::string_view after, int limit);

 private:
  db::Database& database_;
};

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_PROFILE_STORE_H_
