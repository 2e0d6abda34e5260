#include "services/inventory/domain/image_verdict.h"

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::inventory::domain {

ImageVerdict JudgeImage(const InstalledImage& image, absl::string_view factory_sha256,
                        absl::Span<const PublishedImage> published) {
  bool is_published = false;
  bool is_revoked = false;
  bool differs = false;
  for (const PublishedImage& other : published) {
    if (other.sha256 == image.sha256) {
      (other.revoked ? is_revoked : is_published) = true;
    } else if ((!image.target_path.empty() && other.target_path == image.target_path) ||
               other.version == image.version) {
      differs = true;
    }
  }
  // The same bytes may have been published twice, under two paths; one that stands is enough.
  if (is_published) return ImageVerdict::kPublished;
  if (is_revoked) return ImageVerdict::kRevoked;
  if (image.sha256 == factory_sha256) return ImageVerdict::kFactory;
  return differs ? ImageVerdict::kDiffers : ImageVerdict::kUnknown;
}

absl::string_view ModifiedReason(ImageVerdict verdict, absl::string_view factory_sha256,
                                 bool unknown_is_modified) {
  switch (verdict) {
    case ImageVerdict::kNone:
    case ImageVerdict::kPublished:
    case ImageVerdict::kFactory:
      return "";
    case ImageVerdict::kUnknown:
      return unknown_is_modified || !factory_sha256.empty() ? "IMAGE_UNKNOWN" : "";
    case ImageVerdict::kDiffers:
      return "IMAGE_DIFFERS";
    case ImageVerdict::kRevoked:
      return "IMAGE_REVOKED";
  }
  return "";
}

bool SettleImage(absl::string_view modified_reason, bool constrained, ComponentStatus& status) {
  if (modified_reason.empty()) {
    if (status.state != State::kModified) return false;
    status.state = constrained ? State::kProxied : State::kVerified;
    status.reason.clear();
    return true;
  }
  if (status.state != State::kVerified && status.state != State::kProxied &&
      status.state != State::kModified) {
    return false;
  }
  if (status.state == State::kModified && status.reason == modified_reason) return false;
  status.state = State::kModified;
  status.reason = std::string(modified_reason);
  return true;
}

absl::StatusOr<QuarantinePolicy> QuarantinePolicy::Parse(absl::Span<const std::string> patterns) {
  QuarantinePolicy policy;
  for (const std::string& text : patterns) {
    const size_t slash = text.find('/');
    const std::string manufacturer = slash == std::string::npos ? "" : text.substr(0, slash);
    const std::string model = slash == std::string::npos ? "" : text.substr(slash + 1);
    if (manufacturer.empty() || model.empty()) {
      return Error(absl::StatusCode::kInvalidArgument, "POLICY_INVALID",
                   absl::StrCat("\"", text, "\" is not manufacturer/model, as acme/T1000 or acme/*."));
    }
    policy.manufacturers_.push_back(manufacturer == "*" ? "" : manufacturer);
    policy.models_.push_back(model == "*" ? "" : model);
  }
  return policy;
}

}  // namespace countersign::inventory::domain
