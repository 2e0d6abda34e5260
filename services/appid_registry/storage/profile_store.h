#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_PROFILE_STORE_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_PROFILE_STORE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/db/database.h"
#include "services/appid_registry/domain/life.h"
#include "services/appid_registry/domain/profile.h"
#include "services/appid_registry/storage/mutation.h"

namespace countersign::appid_registry {

// Which profiles to list: those that meet all conditions; an empty one is met by all.
struct ProfileFilter {
  std::string app_id_prefix;
  std::string authority_id;
  std::string manufacturer;
  std::string registrant;
  std::string application_type;
  domain::ApplicationClass application_class = domain::ApplicationClass::kUnspecified;
  std::optional<domain::State> state;
};

struct ProfileVersion {
  domain::Registration registration;  // what is not of a version is that of now
  absl::Time create_time;
  std::string actor;
};

struct IssuedAppId {
  std::string app_id;
  std::string registrar;
  absl::Time issue_time;
};

// What an import does with a profile.
struct ImportOutcome {
  enum class Kind { kCreated, kUpdated, kUnchanged, kRefused };
  Kind kind = Kind::kUnchanged;
  absl::Status refusal;  // of kRefused
};

// App-IDs and their profiles in PostgreSQL. Thread-safe. Blocks. Errors are those named here and Database's.
// Each change adds to the history, in its transaction.
class ProfileStore {
 public:
  using Encode = absl::FunctionRef<std::string(const domain::Registration&)>;

  // `database` must outlive it.
  explicit ProfileStore(db::Database& database) : database_(database) {}

  // Stores `registration` and returns what `encode` makes of it, or what an equal request got before.
  // ALREADY_EXISTS (APP_ID_TAKEN), PERMISSION_DENIED (APP_ID_OF_ANOTHER: issued to another registrar).
  absl::StatusOr<std::string> Create(const Mutation& mutation, const domain::Registration& registration,
                                     Encode encode);

  // Makes registration.profile (with its terms) the next version. NOT_FOUND (APP_ID_NOT_REGISTERED), ABORTED
  // (ETAG_MISMATCH) unless registration.revision is what is stored, and what StateAfter() says.
  absl::StatusOr<std::string> Update(const Mutation& mutation, const domain::Registration& registration,
                                     Encode encode);

  // Suspends, reinstates or revokes. Errors as Update; `revision` if it matters.
  absl::StatusOr<std::string> ChangeState(const Mutation& mutation, absl::string_view app_id,
                                          domain::EventKind kind, absl::string_view reason,
                                          std::optional<int64_t> revision, absl::Time now, Encode encode);

  // Takes an App-ID that nobody has had. ALREADY_EXISTS (APP_ID_TAKEN).
  absl::StatusOr<std::string> Issue(const Mutation& mutation, const IssuedAppId& issued,
                                    absl::string_view authority_id,
                                    absl::FunctionRef<std::string(const IssuedAppId&)> encode);

  // Creates or updates each of `registrations` in one transaction; what is refused is told, and the others
  // done. With `dry_run` nothing is, and the outcomes are told. An App-ID may be there once.
  absl::StatusOr<std::vector<ImportOutcome>> Import(absl::string_view actor,
                                                    absl::Span<const domain::Registration> registrations,
                                                    bool dry_run);

  // nullopt when `app_id` is not registered.
  absl::StatusOr<std::optional<domain::Registration>> Find(absl::string_view app_id);
  // The same with what version `version` was; nullopt when there is none.
  absl::StatusOr<std::optional<domain::Registration>> FindVersion(absl::string_view app_id, int version);

  // At most `limit` profiles after `after` ("" is the beginning), by App-ID.
  absl::StatusOr<std::vector<domain::Registration>> List(const ProfileFilter& filter, absl::string_view after,
                                                         int limit);
  // At most `limit` before `before`, the latest first.
  absl::StatusOr<std::vector<ProfileVersion>> ListVersions(absl::string_view app_id, int before, int limit);
  absl::StatusOr<std::vector<domain::Event>> ListEvents(absl::string_view app_id, int64_t before, int limit);

 private:
  db::Database& database_;
};

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_PROFILE_STORE_H_
