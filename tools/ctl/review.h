// What the Management Authority examines and signs, verified with nothing but a root that it has.
#ifndef COUNTERSIGN_TOOLS_CTL_REVIEW_H_
#define COUNTERSIGN_TOOLS_CTL_REVIEW_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/signer.h"
#include "common/trust/client.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"
#include "countersign/package_store/v1/package_store.pb.h"

namespace countersign::ctl {

// A target that a proposal adds or changes.
struct ReviewedTarget {
  std::string path;
  trust::TargetFile target;
  std::optional<trust::TargetFile> before;  // as it is in force, if it is
};

// A proposal whose manufacturer's signature, paths and versions have been verified here.
struct Review {
  package_store::v1::Proposal proposal;
  std::string manufacturer;
  trust::Envelope envelope;
  trust::Targets targets;
  std::string digest;               // SHA-256 of the bytes that the authority would sign
  std::string manufacturer_key_id;  // has signed
  std::string authority_key_id;     // is to sign
  int64_t version_in_force = 0;     // of the manufacturer's role; 0 if there is none
  std::vector<ReviewedTarget> changed;
  std::vector<std::string> removed;  // paths that are in force and would be no more
};

// Verifies `proposal` against the delegations that `source` publishes, as a TUF client that trusts `root`
// sees them: signed by one key of the manufacturer's role and by no other (SIGNATURE_INVALID,
// THRESHOLD_NOT_MET, PARTIES_NOT_DISTINCT), the next version (VERSION_NOT_NEXT), within the role's paths and
// rules (as trust::CheckTargets), and the store's account of the changed targets is that of the signed bytes
// (PROPOSAL_INCONSISTENT). Nothing that the store says is believed for itself.
absl::StatusOr<Review> ReviewProposal(const package_store::v1::Proposal& proposal, trust::Fetcher& source,
                                      const std::string& root, absl::Time now);

// The authority's signature over exactly the reviewed bytes, and its statement about each changed target
// (SC-GEN-11). FAILED_PRECONDITION (WRONG_KEY) when `signer` is not the key that is to sign.
absl::StatusOr<package_store::v1::ApproveProposalRequest> SignApproval(const Review& review, int valid_days,
                                                                       const crypto::Signer& signer,
                                                                       absl::Time now);

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_REVIEW_H_
