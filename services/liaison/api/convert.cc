#include "services/liaison/api/convert.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/crypto/random.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/update/release_info.h"
#include "google/protobuf/util/time_util.h"
#include "services/liaison/domain/names.h"

namespace countersign::liaison {
namespace {

constexpr size_t kMaxDisplayNameSize = 128;
constexpr size_t kMaxAddressSize = 256;
constexpr size_t kMaxModels = 64;
constexpr size_t kMaxModelSize = 64;
constexpr size_t kMaxNoticeSize = 4000;
constexpr size_t kMaxReleaseBytes = 1 << 20;

google::protobuf::Timestamp ToProto(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}

absl::Status Invalid(absl::string_view reason, absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, reason, what);
}

bool IsText(absl::string_view text, size_t max_size) {
  return !text.empty() && text.size() <= max_size && text.find('\0') == absl::string_view::npos;
}

// In order of time, so that they can be listed by it; random so that two at once differ.
std::string NewNoticeId(absl::Time now) {
  return absl::StrFormat("%015d-%s", absl::ToUnixMicros(now) / 1000, crypto::RandomHex(6));
}

}  // namespace

absl::StatusOr<domain::Manufacturer> FromProto(const v1::Manufacturer& proto, absl::Time now) {
  domain::Manufacturer manufacturer;
  ASSIGN_OR_RETURN(manufacturer.id, domain::ParseManufacturerName(proto.name()));
  if (!IsText(proto.display_name(), kMaxDisplayNameSize)) {
    return Invalid("MANUFACTURER_INVALID", "display_name: must be 1 to 128 characters");
  }
  manufacturer.display_name = proto.display_name();
  manufacturer.backend_address = proto.backend_address();
  manufacturer.create_time = now;
  switch (proto.channel()) {
    case v1::Manufacturer::CHANNEL_PUSH:
      manufacturer.channel = domain::Channel::kPush;
      if (proto.backend_address().empty()) return manufacturer;
      return Invalid("MANUFACTURER_INVALID", "backend_address: a manufacturer that pushes has none");
    case v1::Manufacturer::CHANNEL_BACKEND:
      manufacturer.channel = domain::Channel::kBackend;
      if (update::IsPrintableAscii(proto.backend_address(), kMaxAddressSize) &&
          absl::StrContains(proto.backend_address(), ':')) {
        return manufacturer;
      }
      return Invalid("MANUFACTURER_INVALID",
                     "backend_address: must be host:port of the manufacturer's backend");
    default:
      return Invalid("MANUFACTURER_INVALID", "channel: must be CHANNEL_PUSH or CHANNEL_BACKEND");
  }
}

v1::Manufacturer ToProto(const domain::Manufacturer& manufacturer) {
  v1::Manufacturer proto;
  proto.set_name(domain::FormatManufacturerName(manufacturer.id));
  proto.set_display_name(manufacturer.display_name);
  proto.set_channel(static_cast<v1::Manufacturer::Channel>(manufacturer.channel));
  proto.set_backend_address(manufacturer.backend_address);
  *proto.mutable_create_time() = ToProto(manufacturer.create_time);
  proto.set_last_refresh_state(static_cast<v1::Manufacturer::RefreshState>(manufacturer.refresh_state));
  if (manufacturer.refresh_time.has_value())
    *proto.mutable_last_refresh_time() = ToProto(*manufacturer.refresh_time);
  proto.set_last_refresh_error(manufacturer.refresh_error);
  return proto;
}

absl::StatusOr<domain::Release> MakeRelease(absl::string_view manufacturer, absl::string_view release_id,
                                            const common::v1::ReleaseInfo& info, absl::Time now) {
  if (!domain::IsReleaseId(release_id)) {
    return Invalid("NAME_INVALID",
                   "a release's id must be lower-case letters, digits, '-' and '.', at most 63");
  }
  RETURN_IF_ERROR(Annotate(update::CheckReleaseInfo(info), release_id));
  if (info.ByteSizeLong() > kMaxReleaseBytes) {
    return Invalid("RELEASE_INVALID", absl::StrCat(release_id, ": info: must be at most 1 MiB in all"));
  }
  const std::string component = update::ComponentOf(info.image().target_path());
  if (!absl::StartsWith(component, absl::StrCat(manufacturer, "/"))) {
    return Invalid("RELEASE_INVALID", absl::StrCat(release_id, ": info.image.target_path: must be ",
                                                   manufacturer, "/<component>/<file>"));
  }
  domain::Release release;
  release.manufacturer = std::string(manufacturer);
  release.offer.release_id = std::string(release_id);
  release.offer.component = component;
  release.offer.version = info.version();
  ASSIGN_OR_RETURN(release.offer.version_format, VersionFormatOf(info.version_format()));
  release.offer.release_counter = info.release_counter();
  release.offer.models.assign(info.models().begin(), info.models().end());
  release.offer.hardware_ids.assign(info.hardware_ids().begin(), info.hardware_ids().end());
  release.offer.minimum_installed_version = info.minimum_installed_version();
  release.info = info.SerializeAsString();
  release.create_time = now;
  return release;
}

v1::Release ToProto(const domain::Release& release) {
  v1::Release proto;
  proto.set_name(domain::FormatReleaseName(release.manufacturer, release.offer.release_id));
  proto.mutable_info()->ParseFromString(release.info);
  proto.set_state(static_cast<v1::Release::State>(release.state));
  *proto.mutable_create_time() = ToProto(release.create_time);
  return proto;
}

absl::StatusOr<domain::Notice> FromProto(absl::string_view manufacturer, const v1::Notice& proto,
                                         absl::Time now) {
  if (proto.kind() < v1::Notice::KIND_BREACH || proto.kind() > v1::Notice::KIND_UPDATE_REQUEST) {
    return Invalid("NOTICE_INVALID",
                   "notice.kind: must be KIND_BREACH, KIND_PATCH_REQUEST or KIND_UPDATE_REQUEST");
  }
  if (proto.models().empty() || proto.models_size() > static_cast<int>(kMaxModels)) {
    return Invalid("NOTICE_INVALID", "notice.models: must be 1 to 64 models");
  }
  for (const std::string& model : proto.models()) {
    if (!IsText(model, kMaxModelSize))
      return Invalid("NOTICE_INVALID", "notice.models: a model has 1 to 64 characters");
  }
  if (!IsText(proto.text(), kMaxNoticeSize)) {
    return Invalid("NOTICE_INVALID",
                   "notice.text: must be 1 to 4,000 characters that say what happened or is wanted");
  }
  domain::Notice notice;
  notice.manufacturer = std::string(manufacturer);
  notice.id = NewNoticeId(now);
  notice.kind = static_cast<domain::NoticeKind>(proto.kind());
  notice.models.assign(proto.models().begin(), proto.models().end());
  notice.text = proto.text();
  notice.create_time = now;
  return notice;
}

v1::Notice ToProto(const domain::Notice& notice) {
  v1::Notice proto;
  proto.set_name(domain::FormatNoticeName(notice.manufacturer, notice.id));
  proto.set_kind(static_cast<v1::Notice::Kind>(notice.kind));
  for (const std::string& model : notice.models) proto.add_models(model);
  proto.set_text(notice.text);
  proto.set_state(static_cast<v1::Notice::State>(notice.state));
  *proto.mutable_create_time() = ToProto(notice.create_time);
  return proto;
}

domain::Installed FromProto(const v1::InstalledComponent& proto) {
  return {.model = proto.model(),
          .hardware_id = proto.hardware_id(),
          .version = proto.version(),
          .release_counter = proto.release_counter()};
}

}  // namespace countersign::liaison
