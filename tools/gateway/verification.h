// What the gateway may install: what the Director and the image repository agree on, verified by common/trust
// (FOTA-E, FOTA-K).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_VERIFICATION_H_
#define COUNTERSIGN_TOOLS_GATEWAY_VERIFICATION_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/trust/client.h"
#include "common/trust/update.h"
#include "countersign/device/v1/device.pb.h"
#include "tools/gateway/state.h"

namespace countersign::gateway {

// An entry of the Director's that must not be installed.
struct RefusedEntry {
  std::string ecu_serial;
  std::string sha256;
  absl::Status status;  // with a reason of common/trust
};

// What came out of a verification.
struct Verdict {
  // OK; or why nothing may be installed. A refusal when IsRefusal(), otherwise the metadata could not be
  // fetched: try later.
  absl::Status status;
  int64_t director_version = 0;                // of the Director's targets; 0 if they were not verified
  std::vector<trust::VerifiedUpdate> updates;  // all or nothing
  std::vector<RefusedEntry> refused;  // the entries that are to blame, where the Director could be verified
  // Where the Director could be verified:
  std::vector<trust::VerifiedUpdate> prefetch;  // to fetch and not to install
  std::set<std::string> quarantine;             // the components that are ordered to stop
};

// Whether `status` says that metadata were judged and found wanting, and not that they did not come.
bool IsRefusal(const absl::Status& status);

// Not thread-safe.
class Verification {
 public:
  // The fetchers and `state` outlive it; the roots are the ones that came with the gateway.
  Verification(trust::Fetcher* director, std::string director_root, trust::Fetcher* images,
               std::string image_root, State* state);

  // Fetches and verifies both repositories for `components`. After a verdict that is not OK what was verified
  // before stays in force.
  Verdict Verify(const std::vector<trust::InstalledComponent>& components, absl::Time now);

  // What a device needs to verify `update` by itself: exactly the files that Verify() has verified, the last
  // verdict being OK.
  absl::StatusOr<device::v1::InstallHeader> HeaderFor(const trust::VerifiedUpdate& update) const;

  // The Director's files for devices, the last verdict having a director_version.
  absl::StatusOr<device::v1::ApplyOrdersRequest> Orders() const;

  // The verifier key of the transparency log, as the image repository's root names it; only after a verdict
  // that is OK and has updates or something to prefetch.
  const std::string& log_key() const { return images_.root().log_key; }

 private:
  const std::string director_root_;
  const std::string image_root_;
  State& state_;
  trust::RepositoryClient director_;
  trust::RepositoryClient images_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_VERIFICATION_H_
