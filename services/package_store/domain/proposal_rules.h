#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_PROPOSAL_RULES_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_PROPOSAL_RULES_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"
#include "services/package_store/domain/values.h"

// What a manufacturer may propose and what makes an approval (FOTA-A, SC-MA, PLUS-1).
//
// A manufacturer's role has two keys and threshold 2: one key of the manufacturer's, which signs the
// proposal, and one of the Management Authority's, whose signature, brought by the authority itself, approves
// it. Which is whose, the top-level targets say. So whoever has one key, or both hats of one key, gets
// nothing published.
namespace countersign::package_store {

// A proposal that is well-formed; nothing is verified.
struct ParsedProposal {
  trust::Envelope envelope;
  trust::Targets targets;
};

// INVALID_ARGUMENT (METADATA_MALFORMED) unless `bytes` are targets metadata of at most 1 MiB.
absl::StatusOr<ParsedProposal> ParseProposal(absl::string_view bytes);

// What a proposal is compared with.
struct RepositoryState {
  // The delegations in the top-level targets in force.
  const trust::Delegations* delegations;
  // Whose its keys are.
  const trust::Parties* parties;
  // The role's version in force, 0 if there is none.
  int64_t current_version = 0;
  // What that version says; nullptr if there is none, or if the delegation does not vouch for it any more
  // because its keys have changed: then every target counts as changed.
  const trust::Targets* in_force = nullptr;
  // Lengths of the images that the manufacturer has stored, by SHA-256; those that the proposal lists
  // suffice.
  std::map<std::string, int64_t> images;
  // The highest release counter that was ever published, by component.
  std::map<std::string, int64_t> release_counters;
  // Those of the paths that the proposal lists that were revoked.
  std::set<std::string> revoked;
};

// A proposal that may be published once the authority signs it.
struct ReviewedProposal {
  const trust::Delegation* delegation;
  std::string manufacturer_key_id;  // signed it
  std::string authority_key_id;     // must sign it
  std::vector<ProposedTarget> changed_targets;
};

// Whether `proposal` of `manufacturer` may go to the authority, or, at the time of the approval, still may be
// published. The codes of CreateProposal:
//   INVALID_ARGUMENT     METADATA_MALFORMED, THRESHOLD_NOT_MET, SIGNATURE_INVALID, UNKNOWN_KEY (a signature
//                        by none of the role's keys), PARTIES_NOT_DISTINCT (the authority's key has signed),
//                        PATH_NOT_ALLOWED, EXPIRED_METADATA
//   FAILED_PRECONDITION  NOT_DELEGATED, PARTIES_NOT_DECLARED, VERSION_NOT_NEXT, IMAGE_MISSING,
//                        LENGTH_MISMATCH, TARGET_CHANGED, RELEASE_COUNTER_FELL (a new or changed target is
//                        below what its component has had), REVOKED (it lists a path that was revoked)
// What it returns points into `state`.
absl::StatusOr<ReviewedProposal> ReviewProposal(const ParsedProposal& proposal,
                                                absl::string_view manufacturer, const RepositoryState& state,
                                                absl::Time now);

// OK if `pending`, of `manufacturer`'s pending role, may be published: signed by keys of that role, and by
// nobody else; paths `pending/<manufacturer>/<component>/<file>`; in all else as a proposal, except that it
// neither raises nor is bound by the release counters of what was approved. `state` is of that role. The
// keys that have signed; the errors of PublishPending.
absl::StatusOr<std::vector<std::string>> ReviewPending(const ParsedProposal& pending,
                                                       absl::string_view manufacturer,
                                                       const RepositoryState& state, absl::Time now);

// Metadata that both parties signed.
struct Approval {
  std::string metadata;                           // to be published, byte for byte
  std::map<std::string, std::string> statements;  // DSSE envelope by target path, of each changed target
};

// Adds the authority's signatures to `proposal` and verifies everything that makes it an approval: each
// signature, the threshold by both parties, and exactly one approval statement of the authority's for each
// changed target, about exactly that image, path, role version, hardware and counter, valid at `now`.
// INVALID_ARGUMENT (SIGNATURE_INVALID, UNKNOWN_KEY, PARTIES_NOT_DISTINCT, THRESHOLD_NOT_MET,
// STATEMENT_INVALID).
absl::StatusOr<Approval> MakeApproval(const ParsedProposal& proposal, const ReviewedProposal& review,
                                      const RepositoryState& state,
                                      const std::vector<trust::Signature>& signatures,
                                      const std::vector<std::string>& statements, absl::Time now);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_PROPOSAL_RULES_H_
