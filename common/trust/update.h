#ifndef COUNTERSIGN_COMMON_TRUST_UPDATE_H_
#define COUNTERSIGN_COMMON_TRUST_UPDATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/digest.h"
#include "common/trust/client.h"
#include "common/trust/preconditions.h"

// Uptane's full verification: what the Director tells a gateway to install must be what the image repository
// vouches for, and must be for the components that it is told to be for.

namespace countersign::trust {

// A component that is there.
struct InstalledComponent {
  std::string ecu_serial;
  std::string hardware_id;
  int64_t release_counter = 0;  // of the installed image; 0 if it is unknown
};

// An image that may be installed on one component.
struct VerifiedUpdate {
  std::string ecu_serial;
  std::string hardware_id;
  std::string path;
  int64_t length = 0;
  std::string sha256;
  std::string version;
  int64_t release_counter = 0;
  std::string consent_record_id;
  std::string bundle;           // empty unless it changes together with others: see EcuTarget
  Preconditions preconditions;  // as the image repository has them
};

// OK if the Director's entry `director` and the image repository's `image` for one path say the same: length,
// digest and releaseCounter; and hardwareIds and version where the Director repeats them. TARGET_MISMATCH.
absl::Status CheckAgreement(absl::string_view path, const TargetFile& director, const TargetFile& image);

// OK if `target`, on which both agree, is for `component`: named in ecuIdentifiers (UNKNOWN_ECU) with its
// hardware id, which is also among the image's hardwareIds (HARDWARE_MISMATCH), and not older than what is
// installed (ROLLBACK_ATTEMPT).
absl::StatusOr<VerifiedUpdate> CheckComponent(absl::string_view path, const TargetFile& director,
                                              const TargetFile& image, const InstalledComponent& component);

// Everything that the gateway is to install now: refreshes the Director's metadata, and, if it names any
// target, the image repository's, and verifies all entries, or returns the first refusal: nothing of a bundle
// is installed unless all of it is good. An entry that names a component that is not among `components` is
// UNKNOWN_ECU, a component in two entries DUPLICATE_ECU, a path below pending/ NOT_APPROVED. Empty if there
// is nothing to do.
absl::StatusOr<std::vector<VerifiedUpdate>> VerifyUpdate(RepositoryClient& director, RepositoryClient& images,
                                                         const std::vector<InstalledComponent>& components,
                                                         absl::Time now);

// What the gateway may fetch ahead, and must not install: the Director's prefetch entries as the last
// Refresh() of `director`, which was OK, found them. Refreshes the image repository's metadata if there are
// any. They are no orders, so an entry that would be refused as one is only left out.
absl::StatusOr<std::vector<VerifiedUpdate>> VerifyPrefetch(const RepositoryClient& director,
                                                           RepositoryClient& images,
                                                           const std::vector<InstalledComponent>& components,
                                                           absl::Time now);

// VerifyUpdate() seen from one device: what is for `component`, whatever there is for others. nullopt if
// nothing is.
absl::StatusOr<std::optional<VerifiedUpdate>> VerifyUpdateFor(RepositoryClient& director,
                                                              RepositoryClient& images,
                                                              const InstalledComponent& component,
                                                              absl::Time now);

// An image that only its manufacturer vouches for, at `path` below pending/, for `component`: what a device may
// be brought in an offline package, to ask its user about (SC-USE-7), and what no Director may order. Hardware
// and release counter as CheckComponent(). FAILED_PRECONDITION unless the last Refresh() of `images` was OK;
// INVALID_ARGUMENT (MALFORMED_METADATA) for a path that lies elsewhere.
absl::StatusOr<VerifiedUpdate> VerifyPendingFor(RepositoryClient& images, absl::string_view path,
                                                const InstalledComponent& component, absl::Time now);

// Watches an image come in. Not thread-safe.
class ImageCheck {
 public:
  ImageCheck(int64_t length, absl::string_view sha256) : length_(length), sha256_(sha256) {}

  // LENGTH_EXCEEDED as soon as there is more than promised: stop then.
  absl::Status Update(absl::string_view chunk);
  // LENGTH_MISMATCH if bytes are missing, DIGEST_MISMATCH if they are not the promised ones.
  absl::Status Finish();

  int64_t received() const { return received_; }

 private:
  int64_t length_;
  std::string sha256_;
  int64_t received_ = 0;
  crypto::Sha256Stream digest_;
};

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_UPDATE_H_
