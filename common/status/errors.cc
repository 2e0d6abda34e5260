#include "common/status/errors.h"

#include <cstdint>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace countersign {
namespace {

// The wire format of three string fields is small enough to write here, and keeps protobuf out of every
// library that only wants to say what went wrong.
constexpr char kReasonTag = 0x0a;
constexpr char kDomainTag = 0x12;
constexpr char kMetadataTag = 0x1a;
constexpr char kKeyTag = 0x0a;
constexpr char kValueTag = 0x12;

void AppendField(char tag, absl::string_view value, std::string& out) {
  out.push_back(tag);
  uint64_t size = value.size();
  for (; size >= 0x80; size >>= 7) out.push_back(static_cast<char>((size & 0x7f) | 0x80));
  out.push_back(static_cast<char>(size));
  out.append(value.data(), value.size());
}

// Takes one length-delimited field from the front of `in`; false if there is none.
bool TakeField(absl::string_view& in, char& tag, absl::string_view& value) {
  if (in.empty()) return false;
  tag = in[0];
  size_t at = 1;
  uint64_t size = 0;
  for (int shift = 0;; shift += 7, ++at) {
    if (at >= in.size() || shift > 28) return false;
    size |= static_cast<uint64_t>(in[at] & 0x7f) << shift;
    if (!(in[at] & 0x80)) break;
  }
  ++at;
  if ((tag & 7) != 2 || size > in.size() - at) return false;
  value = in.substr(at, size);
  in.remove_prefix(at + size);
  return true;
}

}  // namespace

absl::Status Error(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                   const std::map<std::string, std::string>& metadata) {
  absl::Status status(code, message);
  std::string bytes;
  AppendField(kReasonTag, reason, bytes);
  AppendField(kDomainTag, kErrorDomain, bytes);
  for (const auto& [key, value] : metadata) {
    std::string entry;
    AppendField(kKeyTag, key, entry);
    AppendField(kValueTag, value, entry);
    AppendField(kMetadataTag, entry, bytes);
  }
  status.SetPayload(kErrorInfoTypeUrl, absl::Cord(bytes));
  return status;
}

std::optional<ErrorInfo> ErrorInfoOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kErrorInfoTypeUrl);
  if (!payload.has_value()) return std::nullopt;
  const std::string bytes(*payload);
  absl::string_view in = bytes;
  ErrorInfo info;
  while (!in.empty()) {
    char tag;
    absl::string_view value;
    if (!TakeField(in, tag, value)) return std::nullopt;
    if (tag == kReasonTag) info.reason = std::string(value);
    if (tag == kDomainTag) info.domain = std::string(value);
    if (tag != kMetadataTag) continue;
    std::pair<std::string, std::string> entry;
    absl::string_view part;
    while (!value.empty()) {
      if (!TakeField(value, tag, part)) return std::nullopt;
      if (tag == kKeyTag) entry.first = std::string(part);
      if (tag == kValueTag) entry.second = std::string(part);
    }
    info.metadata.insert(std::move(entry));
  }
  return info;
}

std::string ReasonOf(const absl::Status& status) {
  const std::optional<ErrorInfo> info = ErrorInfoOf(status);
  return info.has_value() ? info->reason : "";
}

absl::Status Annotate(const absl::Status& status, absl::string_view prefix) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(prefix, ": ", status.message()));
  status.ForEachPayload([&annotated](absl::string_view type_url, const absl::Cord& payload) {
    annotated.SetPayload(type_url, payload);
  });
  return annotated;
}

}  // namespace countersign
