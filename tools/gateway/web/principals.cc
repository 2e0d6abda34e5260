#include "tools/gateway/web/principals.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/password.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::gateway {
namespace {

using nlohmann::json;

// Failures of all ids that there are not are counted as those of this one: whoever tries names is as slow as
// whoever tries PINs.
constexpr char kNobody[] = "";
constexpr int kMaxDoublings = 10;

bool IsId(const std::string& id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '@';
  });
}

absl::Status PinLocked(absl::Duration wait) {
  const int64_t seconds = std::max<int64_t>(1, absl::ToInt64Seconds(absl::Ceil(wait, absl::Seconds(1))));
  return Error(absl::StatusCode::kResourceExhausted, "PIN_LOCKED",
               absl::StrCat("too many wrong PINs: try again in ", seconds, " seconds"),
               {{"seconds", absl::StrCat(seconds)}});
}

absl::Status CheckOpen(absl::Time closed_until, absl::Time now) {
  // A clock that was turned back keeps nobody out for longer than the longest wait.
  const bool closed = closed_until > now && closed_until <= now + Principals::kLongestWait;
  return closed ? PinLocked(closed_until - now) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<Principals::Table> Principals::Load() const {
  Table table;
  const absl::StatusOr<std::string> bytes = ReadFile(path_);
  if (absl::IsNotFound(bytes.status())) return table;
  RETURN_IF_ERROR(bytes.status());
  const json parsed = json::parse(*bytes, nullptr, /*allow_exceptions=*/false);
  const auto damaged = [&] {
    return Error(absl::StatusCode::kDataLoss, "STATE_DAMAGED", absl::StrCat(path_, " cannot be read"));
  };
  if (!parsed.is_object()) return damaged();
  for (const auto& [id, entry] : parsed.items()) {
    const auto hash = entry.find("pin");
    const auto failures = entry.find("failures");
    const auto closed = entry.find("closed_until");
    if (hash == entry.end() || !hash->is_string() || failures == entry.end() ||
        !failures->is_number_integer() || closed == entry.end() || !closed->is_number_integer()) {
      return damaged();
    }
    table[id] = {.hash = hash->get<std::string>(),
                 .failures = failures->get<int>(),
                 .closed_until = absl::FromUnixSeconds(closed->get<int64_t>())};
  }
  return table;
}

absl::Status Principals::Change(const std::function<absl::Status(Table&)>& change) {
  const int lock = open(absl::StrCat(path_, ".lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (lock < 0 || flock(lock, LOCK_EX) != 0) {
    if (lock >= 0) close(lock);
    return Error(absl::StatusCode::kInternal, "STATE_UNWRITABLE", absl::StrCat("cannot lock ", path_));
  }
  const absl::Cleanup unlock = [lock] { close(lock); };
  ASSIGN_OR_RETURN(Table table, Load());
  RETURN_IF_ERROR(change(table));
  json made = json::object();
  for (const auto& [id, principal] : table) {
    made[id] = {{"pin", principal.hash},
                {"failures", principal.failures},
                {"closed_until", std::max<int64_t>(0, absl::ToUnixSeconds(principal.closed_until))}};
  }
  return WriteFileAtomically(path_, made.dump(1), 0600);
}

absl::Status Principals::Set(const std::string& id, absl::string_view pin) {
  if (!IsId(id)) {
    return Error(absl::StatusCode::kInvalidArgument, "PRINCIPAL_INVALID",
                 "a principal is 1 to 128 letters, digits, or any of - _ . @");
  }
  if (pin.size() < kMinPinSize || pin.size() > kMaxPinSize) {
    return Error(absl::StatusCode::kInvalidArgument, "PIN_TOO_SHORT",
                 absl::StrCat("a PIN has ", kMinPinSize, " to ", kMaxPinSize, " characters"));
  }
  const std::string hash = crypto::HashPassword(pin);
  return Change([&](Table& table) {
    table[id] = {.hash = hash};
    return absl::OkStatus();
  });
}

absl::Status Principals::Remove(const std::string& id) {
  return Change([&](Table& table) -> absl::Status {
    if (id != kNobody && table.erase(id) > 0) return absl::OkStatus();
    return Error(absl::StatusCode::kNotFound, "PRINCIPAL_UNKNOWN",
                 absl::StrCat("there is no principal ", id));
  });
}

absl::StatusOr<std::vector<std::string>> Principals::List() const {
  ASSIGN_OR_RETURN(const Table table, Load());
  std::vector<std::string> ids;
  for (const auto& [id, principal] : table) {
    if (id != kNobody) ids.push_back(id);
  }
  return ids;
}

absl::Status Principals::Verify(const std::string& id, absl::string_view pin, absl::Time now) {
  // A flood at a closed door keeps nobody else from theirs.
  ASSIGN_OR_RETURN(const Table known, Load());
  const auto at = known.find(id);
  if (at != known.end()) RETURN_IF_ERROR(CheckOpen(at->second.closed_until, now));
  if (!hashing_.TryLock()) return PinLocked(absl::Seconds(1));
  const absl::Cleanup unlock = [this] { hashing_.Unlock(); };
  std::string hash;
  // The guess is counted as wrong before it is looked at: a power cut in between gives none for nothing.
  RETURN_IF_ERROR(Change([&](Table& table) -> absl::Status {
    const auto found = id == kNobody ? table.end() : table.find(id);
    Principal& principal = found == table.end() ? table[kNobody] : found->second;
    RETURN_IF_ERROR(CheckOpen(principal.closed_until, now));
    hash = principal.hash;
    if (++principal.failures > kFreeFailures) {
      const int doublings = std::min(principal.failures - kFreeFailures - 1, kMaxDoublings);
      principal.closed_until = now + std::min(kLongestWait, kFirstWait * (1 << doublings));
    }
    return absl::OkStatus();
  }));
  static const std::string& nobodys_hash = *new std::string(crypto::HashPassword("nobody's"));
  const bool right = crypto::VerifyPassword(pin, hash.empty() ? nobodys_hash : hash) && !hash.empty();
  if (!right) return Error(absl::StatusCode::kUnauthenticated, "PIN_WRONG", "the name or the PIN is wrong");
  return Change([&](Table& table) {
    const auto found = table.find(id);
    if (found != table.end() && found->second.hash == hash) found->second = {.hash = hash};
    return absl::OkStatus();
  });
}

}  // namespace countersign::gateway
