#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_REPOSITORY_RULES_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_REPOSITORY_RULES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/signer.h"
#include "common/trust/metadata.h"

// What the operator and the authority may publish, and how the online roles follow from it (trust.md, "Two
// repositories").
namespace countersign::package_store {

// The top-level roles' names.
inline constexpr char kRootRole[] = "root";
inline constexpr char kTargetsRole[] = "targets";
inline constexpr char kSnapshotRole[] = "snapshot";
inline constexpr char kTimestampRole[] = "timestamp";

// How long a role that is signed online is valid, and how long before its end it is signed again.
struct OnlineLifetimes {
  absl::Duration snapshot = absl::Hours(7 * 24);
  absl::Duration timestamp = absl::Hours(24);

  // Whether a role that expires at `expires` and lives for `lifetime` is to be signed again: half of its life
  // is left for whatever may keep every replica from signing.
  static bool IsDue(absl::Time expires, absl::Duration lifetime, absl::Time now) {
    return expires - now <= lifetime / 2;
  }
};

// The keys that the service signs with. They outlive whoever holds this.
struct OnlineKeys {
  const crypto::Signer* snapshot;
  const crypto::Signer* timestamp;
};

// The root in `bytes`, if it may be published after `current` (nullptr: as the first, version 1): signed by
// the thresholds of both, and in both by the operator and the authority (PLUS-1), with their keys told apart
// as trust::CheckRootParties() wants it, not expired, with consistent snapshots, and the service's online
// keys in roles of threshold 1, since nobody could sign a snapshot for it otherwise. INVALID_ARGUMENT
// (METADATA_MALFORMED, THRESHOLD_NOT_MET, SIGNATURE_INVALID, DUPLICATE_KEY, PARTIES_NOT_DECLARED,
// PARTIES_NOT_DISTINCT, EXPIRED_METADATA), FAILED_PRECONDITION (VERSION_NOT_NEXT, ONLINE_KEY_NOT_LISTED).
absl::StatusOr<trust::Root> CheckRoot(const trust::Root* current, absl::string_view bytes,
                                      const OnlineKeys& keys, absl::Time now);

// OK if the service's online keys can sign for `root`; FAILED_PRECONDITION (ONLINE_KEY_NOT_LISTED).
absl::Status CheckOnlineKeys(const trust::Root& root, const OnlineKeys& keys);

// The top-level targets in `bytes`, if they may be published under `root` after `current` (nullptr: none):
// signed by the root's threshold, and by the authority if they change its keys, not expired, without images,
// and with delegations that need two parties (PLUS-1), as trust::CheckDelegations() wants them. Errors as
// CheckRoot, and INVALID_ARGUMENT (PATH_NOT_ALLOWED).
absl::StatusOr<trust::Targets> CheckTopTargets(const trust::Root& root, const trust::Targets* current,
                                               absl::string_view bytes, absl::Time now);

// The next snapshot of `roles` (version in force by role, `targets` among them), signed: its bytes.
absl::StatusOr<std::string> SignSnapshot(const std::map<std::string, int64_t>& roles, int64_t version,
                                         absl::Time expires, const crypto::Signer& signer);
// The next timestamp for the snapshot that has `snapshot_bytes`, signed: its bytes.
absl::StatusOr<std::string> SignTimestamp(int64_t snapshot_version, absl::string_view snapshot_bytes,
                                          int64_t version, absl::Time expires, const crypto::Signer& signer);

// Whether the file `bytes` of the top-level role `role` is signed as `root` wants it.
bool IsVouchedFor(const trust::Root& root, absl::string_view role, absl::string_view bytes);

// FAILED_PRECONDITION (VERSION_NOT_NEXT) unless `version` is `current + 1`; `role` is for the message.
absl::Status CheckNextVersion(absl::string_view role, int64_t current, int64_t version);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_REPOSITORY_RULES_H_
