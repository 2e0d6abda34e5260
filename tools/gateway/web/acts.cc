#include "tools/gateway/web/acts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::gateway {
namespace {

using nlohmann::json;

json ToJson(const Act& act) {
  return {{"id", act.id},
          {"kind", static_cast<int>(act.kind)},
          {"subject", act.subject},
          {"what", act.what},
          {"request", crypto::HexEncode(act.request)},
          {"principal", act.principal},
          {"time", absl::ToUnixSeconds(act.time)},
          {"state", static_cast<int>(act.state)},
          {"reason", act.reason}};
}

// False when `entry` is no act.
bool FromJson(const json& entry, Act* act) {
  if (!entry.is_object()) return false;
  const auto text = [&](const char* key, std::string* value) {
    const auto found = entry.find(key);
    if (found == entry.end() || !found->is_string()) return false;
    *value = found->get<std::string>();
    return true;
  };
  const auto number = [&](const char* key, int64_t low, int64_t high, int64_t* value) {
    const auto found = entry.find(key);
    if (found == entry.end() || !found->is_number_integer()) return false;
    *value = found->get<int64_t>();
    return *value >= low && *value <= high;
  };
  std::string request;
  int64_t kind, state, time;
  if (!text("id", &act->id) || !text("subject", &act->subject) || !text("what", &act->what) ||
      !text("request", &request) || !text("principal", &act->principal) || !text("reason", &act->reason) ||
      !number("kind", 1, 4, &kind) || !number("state", 1, 2, &state) ||
      !number("time", 0, int64_t{1} << 40, &time)) {
    return false;
  }
  const absl::StatusOr<std::string> bytes = crypto::HexDecode(request);
  if (!bytes.ok()) return false;
  act->request = *bytes;
  act->kind = static_cast<Act::Kind>(kind);
  act->state = static_cast<Act::State>(state);
  act->time = absl::FromUnixSeconds(time);
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acts>> Acts::Open(std::string path) {
  std::unique_ptr<Acts> acts(new Acts(std::move(path)));
  const absl::StatusOr<std::string> bytes = ReadFile(acts->path_);
  if (absl::IsNotFound(bytes.status())) return acts;
  RETURN_IF_ERROR(bytes.status());
  const json parsed = json::parse(*bytes, nullptr, /*allow_exceptions=*/false);
  absl::MutexLock lock(&acts->mutex_);
  bool well = parsed.is_array();
  for (size_t i = 0; well && i < parsed.size(); ++i) well = FromJson(parsed[i], &acts->acts_.emplace_back());
  if (!well) {
    return Error(absl::StatusCode::kDataLoss, "STATE_DAMAGED", absl::StrCat(acts->path_, " cannot be read"));
  }
  return acts;
}

absl::Status Acts::Save(std::vector<Act> acts) {
  json made = json::array();
  for (const Act& act : acts) made.push_back(ToJson(act));
  // What was typed or published is not always UTF-8.
  RETURN_IF_ERROR(WriteFileAtomically(path_, made.dump(1, ' ', true, json::error_handler_t::replace), 0600));
  acts_ = std::move(acts);
  return absl::OkStatus();
}

absl::Status Acts::Add(const Act& act) {
  absl::MutexLock lock(&mutex_);
  if (acts_.size() >= kMax) {
    return Error(absl::StatusCode::kResourceExhausted, "TOO_MANY_ANSWERS",
                 "too many answers wait for the services to be back");
  }
  for (const Act& other : acts_) {
    if (other.state == Act::State::kKept && !act.subject.empty() && other.subject == act.subject) {
      return Error(absl::StatusCode::kAlreadyExists, "ANSWER_KEPT",
                   "this was answered, and waits to be sent");
    }
  }
  std::vector<Act> acts = acts_;
  acts.push_back(act);
  return Save(std::move(acts));
}

absl::Status Acts::Remove(const std::string& id) {
  absl::MutexLock lock(&mutex_);
  std::vector<Act> acts = acts_;
  std::erase_if(acts, [&](const Act& act) { return act.id == id; });
  return Save(std::move(acts));
}

absl::Status Acts::Refuse(const std::string& id, const std::string& reason) {
  absl::MutexLock lock(&mutex_);
  std::vector<Act> acts = acts_;
  for (Act& act : acts) {
    if (act.id != id) continue;
    act.state = Act::State::kRefused;
    act.reason = reason;
  }
  return Save(std::move(acts));
}

std::vector<Act> Acts::List() const {
  absl::MutexLock lock(&mutex_);
  return acts_;
}

bool IsWorthRepeating(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kOutOfRange:
      return false;
    default:
      return true;
  }
}

}  // namespace countersign::gateway
