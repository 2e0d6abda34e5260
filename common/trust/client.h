#ifndef COUNTERSIGN_COMMON_TRUST_CLIENT_H_
#define COUNTERSIGN_COMMON_TRUST_CLIENT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/metadata.h"
#include "common/trust/trusted_store.h"

namespace countersign::trust {

// Where metadata comes from: a mirror, a service, a gateway. Never trusted.
class Fetcher {
 public:
  virtual ~Fetcher() = default;

  // The file `filename` ("3.root.json", "timestamp.json"). NOT_FOUND if there is none; an implementation
  // stops reading after `max_length` bytes and returns RESOURCE_EXHAUSTED (LENGTH_EXCEEDED). Other errors end
  // the refresh and come out of it.
  virtual absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) = 0;
};

// A Fetcher of files in memory, by name: what a gateway holds for its devices, and what tests serve.
class MapFetcher : public Fetcher {
 public:
  explicit MapFetcher(const std::map<std::string, std::string>* files) : files_(*files) {}
  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override;

 private:
  const std::map<std::string, std::string>& files_;
};

struct ClientLimits {
  int64_t max_root_bytes = 512 << 10;
  int64_t max_timestamp_bytes = 16 << 10;
  int64_t max_snapshot_bytes = 2 << 20;
  int64_t max_targets_bytes = 5 << 20;
  int max_root_rotations = 256;  // roots followed in one refresh
  int max_delegation_depth = 8;  // roles between `targets` and a target
  int max_delegations_visited = 32;
};

// A role below the top-level targets: what it says, or why it is not believed.
struct ReachedRole {
  std::string name;
  absl::StatusOr<Targets> targets;
};

// A client of one repository: the workflow of TUF 1.0.31, section 5. After a Refresh() that is OK everything
// it answers is signed by who must sign, complete, fresh, and not older than what it had. After one that
// failed it answers nothing, and the store holds what was verified before. Not thread-safe.
class RepositoryClient {
 public:
  // `fetcher` and `store` outlive the client. `initial_root` is the root that came with the device; it is
  // used only if `store` has none. Refresh() says if it is no root.
  RepositoryClient(Fetcher* fetcher, TrustedStore* store, std::string initial_root,
                   const ClientLimits& limits = {});

  // Root chain, timestamp, snapshot, top-level targets (5.3 to 5.6).
  absl::Status Refresh(absl::Time now);

  // Who vouches for `path` (5.6.7): walks the delegations in order, as far as `terminating` lets it.
  // NOT_FOUND (TARGET_UNKNOWN) if nobody does. FAILED_PRECONDITION unless the last Refresh() was OK.
  absl::StatusOr<TargetFile> FindTarget(absl::string_view path, absl::Time now);

  // Every role that the delegations lead to, each once for each way: for who copies a whole repository. Roles
  // that the snapshot does not list are left out, since nobody has published them; expiry is not looked at,
  // since one role's is no reason not to serve the others. NOT_FOUND if a file is missing; the fetcher's
  // errors; FAILED_PRECONDITION unless the last Refresh() was OK.
  absl::StatusOr<std::vector<ReachedRole>> ReachedRoles();

  // What the last Refresh() found; only after one that was OK.
  const Root& root() const { return *root_; }
  const Timestamp& timestamp() const { return *timestamp_; }
  const Snapshot& snapshot() const { return *snapshot_; }
  const Targets& targets() const { return *targets_; }

 private:
  absl::Status LoadTrustedRoot();
  absl::Status UpdateRoot(absl::Time now);
  absl::Status UpdateTimestamp(absl::Time now);
  absl::Status UpdateSnapshot(absl::Time now);
  // Loads a targets role that `keys` and `role_keys` vouch for, of the version that the snapshot has.
  absl::StatusOr<Targets> LoadTargets(const std::string& role, const KeyMap& keys, const RoleKeys& role_keys,
                                      absl::Time now);
  std::string Filename(absl::string_view role, int64_t version) const;

  Fetcher* fetcher_;
  TrustedStore* store_;
  std::string initial_root_;
  ClientLimits limits_;
  bool fresh_ = false;
  std::optional<Root> root_;
  std::optional<Timestamp> timestamp_;
  std::optional<Snapshot> snapshot_;
  std::optional<Targets> targets_;
  std::map<std::string, Targets> delegated_;  // loaded since the last Refresh()
};

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_CLIENT_H_
