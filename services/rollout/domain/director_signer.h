#ifndef COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_DIRECTOR_SIGNER_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_DIRECTOR_SIGNER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/crypto/public_key.h"
#include "common/crypto/signer.h"
#include "common/trust/metadata.h"
#include "services/rollout/domain/approved_image.h"
#include "services/rollout/domain/assignment.h"
#include "services/rollout/domain/release.h"
#include "services/rollout/domain/rollout.h"

namespace countersign::rollout {

// What the Director is asked to tell a gateway about one component, with what is said to stand behind it.
struct DirectorCandidate {
  Assignment assignment;
  Release release;
  RolloutState rollout_state = RolloutState::kPlanning;
  std::string launched_by;
  // What it changes together with, or not at all; empty if it changes alone.
  std::string bundle;
  // It is only to be fetched ahead: the same must stand behind it but for the consent, and it is not let in.
  bool ahead = false;
};

struct DirectorVersions {
  int64_t targets = 0;
  int64_t snapshot = 0;
  int64_t timestamp = 0;
};

// One state of a gateway's Director repository.
struct DirectorMetadata {
  DirectorVersions versions;
  std::string targets;
  std::string snapshot;
  std::string timestamp;
  absl::Time refresh_targets;    // sign all three again from then on
  absl::Time refresh_timestamp;  // sign at least the timestamp again from then on
};

// The only holder of the Director's keys (trust.md, "consent bypass"). Whatever calls it, it signs a
// candidate only if
//   - its own client of the image repository, rooted in the root that came with the service, finds exactly
//   that image
//     for that hardware: the manufacturer and the Management Authority both signed it,
//   - the transparency log, whose key that root names, has the approval of exactly that image (PLUS-3),
//   - a consent record, signed by the consent service, grants exactly this image on exactly this component
//   now,
//   - an operator has launched the rollout, and the assignment has been let in and is not over.
// Immutable and thread-safe, if `find_approved` is.
class DirectorSigner {
 public:
  struct Keys {
    std::shared_ptr<const crypto::Signer> targets;
    std::shared_ptr<const crypto::Signer> snapshot;
    std::shared_ptr<const crypto::Signer> timestamp;
  };
  // The image repository's target for a path, verified, with what proves that its approval is public:
  // NOT_FOUND if nobody vouches for it; any other error says that it cannot be told now.
  using FindApproved = std::function<absl::StatusOr<ApprovedImage>(absl::string_view path)>;

  struct Options {
    absl::Duration timestamp_validity = absl::Hours(24);
    absl::Duration validity = absl::Hours(24 * 7);  // of targets and snapshot
  };

  DirectorSigner(Keys keys, crypto::PublicKey consent_key, FindApproved find_approved, Options options);
  DirectorSigner(Keys keys, crypto::PublicKey consent_key, FindApproved find_approved)
      : DirectorSigner(std::move(keys), std::move(consent_key), std::move(find_approved), Options()) {}

  struct Refusal {
    size_t candidate;
    // Reasons of trust::CheckEntry; NOT_LAUNCHED, NOT_ADMITTED, OTHER_GATEWAY; NOT_IN_LOG if there is no
    // proof, or one of something else, or by another key.
    absl::Status why;
  };
  struct Result {
    DirectorMetadata metadata;
    std::vector<Refusal> refused;  // they are not in the metadata
  };

  // Signs targets with the candidates that pass, and a snapshot and timestamp over it, all for `gateway`. The
  // targets do not outlive the first consent in them. Where one of a bundle is refused, none of it is in
  // them. One that is to be fetched ahead and is refused is only left out. An error (the image repository
  // cannot be asked, a key does not answer) signs nothing. `quarantined` are the components that are ordered
  // to stop (FOTA-R3): nothing has to stand behind that but the inventory's word, since it makes nobody run
  // anything.
  absl::StatusOr<Result> Sign(absl::string_view gateway, const DirectorVersions& versions,
                              absl::Span<const DirectorCandidate> candidates,
                              const std::set<std::string>& quarantined, absl::Time now) const;

  // A new timestamp of version `version` over the same snapshot; changes `metadata` accordingly.
  absl::Status SignTimestamp(int64_t version, DirectorMetadata& metadata, absl::Time now) const;

  // OK if `root` names the service's own keys for targets, snapshot and timestamp, each role with
  // threshold 1. INVALID_ARGUMENT (ONLINE_KEY_MISSING).
  absl::Status CheckRoot(const trust::Root& root) const;

  // Changes when the keys do: metadata signed under another fingerprint has to be signed again.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  // OK if `candidate` stands in the targets as `target`, or among what is fetched ahead.
  absl::Status Check(absl::string_view gateway, const DirectorCandidate& candidate,
                     const trust::TargetFile& target, const ApprovedImage* approved, absl::Time now) const;

  const Keys keys_;
  const crypto::PublicKey consent_key_;
  const FindApproved find_approved_;
  const Options options_;
  const std::string fingerprint_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_DIRECTOR_SIGNER_H_
