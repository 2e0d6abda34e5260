#ifndef COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_DIRECTOR_STORE_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_DIRECTOR_STORE_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/db/database.h"
#include "common/trust/trusted_store.h"
#include "services/rollout/domain/director_signer.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

struct DirectorRoot {
  int64_t version = 0;
  std::string content;
};

// What a check-in has to know.
struct GatewayStanding {
  bool known = false;           // something was ever signed, or is to be
  bool changed = false;         // its entries differ from what is signed
  int64_t targets_version = 0;  // signed last
  bool prompts_waiting = false;
};

// A gateway's Director repository as it is stored.
struct DirectorState {
  int64_t revision = 0;
  int64_t signed_revision = 0;
  std::string signed_under;   // root version and keys, as the caller of Save() put it
  int64_t root_version = 0;   // of the root in force; 0 when there is none
  DirectorMetadata metadata;  // versions 0 and empty when nothing was signed
};

// The Director's roots, and the signed metadata of each gateway. Thread-safe; blocks. Errors as db::Database.
class DirectorStore {
 public:
  DirectorStore(db::Database& database, RolloutStore& rollouts) : database_(database), rollouts_(rollouts) {}

  // nullopt when none was published.
  absl::StatusOr<std::optional<DirectorRoot>> LatestRoot();
  absl::StatusOr<std::optional<std::string>> RootFile(int64_t version);
  // FAILED_PRECONDITION (VERSION_NOT_NEXT) unless it is the next one; OK when exactly this one is the latest
  // already.
  absl::Status PublishRoot(const DirectorRoot& root, absl::Time now);

  absl::StatusOr<GatewayStanding> Standing(const std::string& gateway);

  // The stored state (nullopt when the gateway has none) and what the Director may name now: one state of
  // both.
  struct Signable {
    DirectorState state;
    std::vector<AssignmentView> admitted;
    std::vector<AssignmentView> ahead;  // what the gateway may fetch already
    std::set<std::string> quarantined;  // ecu_serials that are ordered to stop
  };
  // nullopt when the gateway has none.
  absl::StatusOr<std::optional<DirectorState>> Load(const std::string& gateway);
  absl::StatusOr<Signable> LoadForSigning(const std::string& gateway);
  // Stores what was signed over `before`; false, and nothing is stored, when somebody else stored or changed
  // something since: load again. Versions thus rise by one from one stored state to the next, whoever signs.
  absl::StatusOr<bool> Save(const std::string& gateway, const DirectorState& before,
                            const DirectorMetadata& metadata, absl::string_view signed_under);
  // `version`.targets or .snapshot, of the state that was signed last or of the one before; nullopt when it
  // is neither.
  absl::StatusOr<std::optional<std::string>> Targets(const std::string& gateway, int64_t version);
  absl::StatusOr<std::optional<std::string>> Snapshot(const std::string& gateway, int64_t version);

 private:
  db::Database& database_;
  RolloutStore& rollouts_;
};

// Where the service's own client of the image repository keeps what it has verified, for all replicas
// together. A version never goes back, also when a slower replica saves later.
class DatabaseTrustedStore : public trust::TrustedStore {
 public:
  explicit DatabaseTrustedStore(db::Database& database) : database_(database) {}

  absl::StatusOr<std::optional<std::string>> Load(absl::string_view role) const override;
  absl::Status Save(absl::string_view role, absl::string_view bytes) override;
  absl::Status Remove(absl::string_view role) override;

 private:
  db::Database& database_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_DIRECTOR_STORE_H_
