#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_IMAGE_VERDICT_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_IMAGE_VERDICT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "services/inventory/domain/component.h"

// Whether a component runs what was published for it (FOTA-R2), and what follows (FOTA-R3). Pure.
namespace countersign::inventory::domain {

// An image that was published for the component's manufacturer and hardware.
struct PublishedImage {
  std::string target_path;
  std::string version;
  std::string sha256;
  bool revoked = false;
};

// What `image` is. `factory_sha256` is what was declared at provisioning, "" if nothing was. `published` has
// at least all images of the component's manufacturer and hardware that share its digest, its version or its
// path; the digest decides, and a version is a name only.
ImageVerdict JudgeImage(const InstalledImage& image, absl::string_view factory_sha256,
                        absl::Span<const PublishedImage> published);

inline constexpr const char* kModifiedReasons[] = {"IMAGE_UNKNOWN", "IMAGE_DIFFERS", "IMAGE_REVOKED"};

// Why a component whose image is `verdict` is MODIFIED; "" when it is not, else one of
// kModifiedReasons. An unknown image is a fault where the factory image was declared, and else only if
// `unknown_is_modified`: most fleets have images from before there was a repository.
absl::string_view ModifiedReason(ImageVerdict verdict, absl::string_view factory_sha256,
                                 bool unknown_is_modified);

// Brings the state of a component that proved itself into agreement with what its image is: MODIFIED for
// `modified_reason`, or VERIFIED (PROXIED if `constrained`) again when there is none. Every other state, what
// a person ordered and what did not prove itself, stays. Returns whether anything changed.
bool SettleImage(absl::string_view modified_reason, bool constrained, ComponentStatus& status);

// Which MODIFIED components are ordered to stop without a person: `manufacturer/model`, either of them `*`.
class QuarantinePolicy {
 public:
  // INVALID_ARGUMENT (POLICY_INVALID).
  static absl::StatusOr<QuarantinePolicy> Parse(absl::Span<const std::string> patterns);

  bool empty() const { return manufacturers_.empty(); }
  // The patterns in columns; "" stands for any.
  const std::vector<std::string>& manufacturers() const { return manufacturers_; }
  const std::vector<std::string>& models() const { return models_; }

 private:
  std::vector<std::string> manufacturers_;
  std::vector<std::string> models_;
};

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_IMAGE_VERDICT_H_
