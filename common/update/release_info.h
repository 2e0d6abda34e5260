// What a ReleaseInfo must be before any service takes it in: countersign/common/v1/update.proto, checked.
#ifndef COUNTERSIGN_COMMON_UPDATE_RELEASE_INFO_H_
#define COUNTERSIGN_COMMON_UPDATE_RELEASE_INFO_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "countersign/common/v1/update.pb.h"

namespace countersign::update {

// Every field as its comment in the proto says. INVALID_ARGUMENT: RELEASE_INVALID, or NOTICE_INCOMPLETE when
// it is a field that the user must be told; the message says what to correct, metadata "field" has its path,
// e.g. "image.sha256".
absl::Status CheckReleaseInfo(const common::v1::ReleaseInfo& info);

// Only what the user must be told (UN R156, 7.2.2.2): at least one notice, each complete and in a language of
// its own; kind and criticality; the advisory of a release that closes weaknesses. INVALID_ARGUMENT
// (NOTICE_INCOMPLETE).
absl::Status CheckNotices(const common::v1::ReleaseInfo& info);

// trust::NoticeTextSha256 of `notice`: what an answer to the question quotes.
std::string NoticeTextSha256(const common::v1::UserNotice& notice);

// "acme/thermostat" for target path "acme/thermostat/thermostat-2.0.1.bin": the component whose releases are
// compared with each other. "" for what is no `<manufacturer>/<component>/<file>`.
std::string ComponentOf(absl::string_view target_path);

// Whether `text` is 1 to `max_size` printable ASCII characters.
bool IsPrintableAscii(absl::string_view text, size_t max_size);

// Whether `tag` has the form of a BCP 47 language tag, e.g. "en" or "de-AT".
bool IsLanguageTag(absl::string_view tag);

}  // namespace countersign::update

#endif  // COUNTERSIGN_COMMON_UPDATE_RELEASE_INFO_H_
