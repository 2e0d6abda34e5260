// What is done at a key ceremony: the next version of root or top-level targets, from the one before. Pure;
// what would leave nobody able to sign, or one party able to sign alone, is refused here, before anyone signs
// it.
#ifndef COUNTERSIGN_TOOLS_CTL_CEREMONY_H_
#define COUNTERSIGN_TOOLS_CTL_CEREMONY_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"
#include "common/tlog/note.h"
#include "common/trust/metadata.h"

namespace countersign::ctl {

// A public key, and whose it is: "operator", "authority", or "" where nobody says.
struct PartyKey {
  std::string party;
  crypto::PublicKey key;
};

struct RoleChange {
  std::vector<PartyKey> add;
  std::vector<std::string> remove;  // key ids, or their first 8 or more digits
  std::optional<int> threshold;
};

struct RootChange {
  std::map<std::string, RoleChange> roles;
  std::optional<tlog::VerifierKey> log_key;
  absl::Time expires;
};

// The root after `previous`; version 1 for nullptr. With parties it must be one that the store accepts
// (trust::CheckRootParties, online roles with threshold 1); without any, as the Director's, just one that
// somebody can sign. INVALID_ARGUMENT: KEY_TWICE, KEY_NOT_IN_ROLE, KEY_AMBIGUOUS, THRESHOLD_UNREACHABLE,
// and those of the rules.
absl::StatusOr<trust::Root> ChangeRoot(const trust::Root* previous, const RootChange& change);

struct TargetsChange {
  using Manufacturer = std::pair<std::string, crypto::PublicKey>;
  std::vector<Manufacturer> add;     // with a role of its own
  std::vector<Manufacturer> rotate;  // gets another key, in all its roles
  std::vector<std::string> remove;   // with all its roles
  std::vector<std::string> add_pending;
  std::vector<std::string> remove_pending;
  std::optional<crypto::PublicKey> authority;  // the one that approves from now on, in every role
  absl::Time expires;
};

// The top-level targets after `previous`; version 1 for nullptr. `root`, if known, says which keys are taken.
// INVALID_ARGUMENT: MANUFACTURER_UNKNOWN, MANUFACTURER_EXISTS, MANUFACTURER_INVALID, PENDING_EXISTS,
// PENDING_UNKNOWN, AUTHORITY_MISSING, KEY_UNCHANGED, and those of trust::CheckDelegations().
absl::StatusOr<trust::Targets> ChangeTargets(const trust::Targets* previous, const TargetsChange& change,
                                             const trust::Root* root);

// When metadata expires that is to hold for `days`, or until `until` (RFC 3339, UTC; "": not given): to the
// second. INVALID_ARGUMENT (EXPIRY_INVALID) for what is over, or more than ten years away.
absl::StatusOr<absl::Time> ExpiryOf(int days, const std::string& until, absl::Time now);

// "operator=op1.pub" -> {"operator", "op1.pub"}; "op1.pub" -> {"", "op1.pub"}.
std::pair<std::string, std::string> SplitParty(absl::string_view text);

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_CEREMONY_H_
