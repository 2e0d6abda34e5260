#include "services/inventory/domain/orders.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::inventory::domain {
namespace {

constexpr size_t kMaxNote = 256;
constexpr size_t kMaxTagText = 63;

absl::Status WrongState(const ComponentStatus& status, absl::string_view what) {
  return Error(absl::StatusCode::kFailedPrecondition, "WRONG_STATE",
               absl::StrCat("The component is ", StateName(status.state), ": ", what),
               {{"state", std::string(StateName(status.state))}});
}

absl::Status TagInvalid(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "TAG_INVALID", message);
}

bool IsTagName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxTagText || !absl::ascii_islower(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_' || c == '-';
  });
}

bool IsPrintable(absl::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

}  // namespace

absl::StatusOr<bool> OrderQuarantine(absl::string_view ordered_by, absl::string_view reason, absl::Time now,
                                     ComponentStatus& status) {
  if (status.state == State::kRetired) return WrongState(status, "what is out of service is not stopped.");
  if (status.state == State::kQuarantined) return false;
  status.state = State::kQuarantined;
  status.reason.clear();
  status.quarantine = Quarantine{now, std::string(ordered_by), std::string(reason), std::nullopt};
  return true;
}

absl::StatusOr<bool> Release(ComponentStatus& status) {
  if (status.state != State::kQuarantined)
    return WrongState(status, "only what was ordered to stop is released.");
  status.state = State::kUnverified;
  status.reason.clear();
  status.quarantine.reset();
  return true;
}

absl::StatusOr<bool> Retire(ComponentStatus& status) {
  if (status.state == State::kRetired) return false;
  status.state = State::kRetired;
  status.reason.clear();
  status.quarantine.reset();
  return true;
}

void AddFailure(UpdateFailure failure, ComponentStatus& status) {
  ++status.failure_count;
  status.last_errors.insert(status.last_errors.begin(), std::move(failure));
  if (status.last_errors.size() > kMaxLastErrors) status.last_errors.resize(kMaxLastErrors);
}

absl::Status CheckNote(absl::string_view reason) {
  if (!reason.empty() && reason.size() <= kMaxNote && IsPrintable(reason)) return absl::OkStatus();
  return Error(
      absl::StatusCode::kInvalidArgument, "REASON_MISSING",
      absl::StrCat("reason: say why, in 1 to ", kMaxNote, " characters without control characters."));
}

absl::Status CheckTags(const Tags& tags) {
  if (tags.size() > kMaxTags) return TagInvalid(absl::StrCat("tags: at most ", kMaxTags, " of them."));
  for (const auto& [name, value] : tags) {
    if (!IsTagName(name)) {
      return TagInvalid(
          absl::StrCat("tags: \"", name.substr(0, kMaxTagText), "\" is not a name: [a-z][a-z0-9_-]{0,62}."));
    }
    if (value.size() > kMaxTagText || !IsPrintable(value)) {
      return TagInvalid(absl::StrCat("tags: the value of \"", name, "\" must have at most ", kMaxTagText,
                                     " characters without control characters."));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Tags> ChangeTags(Tags tags, const Tags& set, const std::vector<std::string>& remove) {
  for (const std::string& name : remove) {
    if (set.contains(name))
      return TagInvalid(absl::StrCat("tags: \"", name, "\" is to be set and to be removed."));
    tags.erase(name);
  }
  for (const auto& [name, value] : set) tags[name] = value;
  RETURN_IF_ERROR(CheckTags(tags));
  return tags;
}

Tags ComponentTags(const Tags& of_gateway, const Tags& of_device) {
  Tags tags = of_device;
  tags.insert(of_gateway.begin(), of_gateway.end());
  return tags;
}

}  // namespace countersign::inventory::domain
