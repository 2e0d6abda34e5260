#include "tools/gateway/incidents.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/errors.h"

namespace countersign::gateway {
namespace {

constexpr size_t kMaxName = 64;
constexpr size_t kMaxDetail = 300;
constexpr char kMore[] = "MORE_INCIDENTS";
constexpr size_t kMaxKinds = 256;

// Printable ASCII: what it is about may have chosen its own name.
std::string Printable(absl::string_view text, size_t max) {
  std::string clean(text.substr(0, max));
  for (char& c : clean) {
    if (c < ' ' || c > '~') c = '?';
  }
  return clean;
}

std::string KindOf(const trust::Incident& one) {
  return absl::StrCat(one.reason, " ", one.device_id, " ", one.ecu_serial);
}
bool SameKind(const trust::Incident& a, const trust::Incident& b) { return KindOf(a) == KindOf(b); }

}  // namespace

bool IsForgedServer(const absl::Status& status) {
  // gRPC has no code for it.
  return absl::IsUnavailable(status) && (absl::StrContains(status.message(), "CERTIFICATE_VERIFY_FAILED") ||
                                         absl::StrContains(status.message(), "verification check failed") ||
                                         absl::StrContains(status.message(), "andshake failed"));
}

void Incidents::Note(absl::string_view reason, absl::string_view device_id, absl::string_view ecu_serial,
                     absl::string_view detail) {
  trust::Incident incident{.reason = Printable(reason, kMaxName),
                           .device_id = Printable(device_id, kMaxName),
                           .ecu_serial = Printable(ecu_serial, kMaxName),
                           .detail = Printable(detail, kMaxDetail)};
  absl::MutexLock lock(&mutex_);
  auto same = std::find_if(pending_.begin(), pending_.end(),
                           [&](const trust::Incident& one) { return SameKind(one, incident); });
  if (same == pending_.end() && pending_.size() + 1 >= trust::GatewayManifest::kMaxIncidents) {
    incident = {.reason = kMore};
    same = std::find_if(pending_.begin(), pending_.end(),
                        [&](const trust::Incident& one) { return SameKind(one, incident); });
  }
  if (same != pending_.end()) {
    ++same->count;
    return;
  }
  log::Warn("incident", {{"reason", incident.reason},
                         {"device", incident.device_id},
                         {"ecu_serial", incident.ecu_serial},
                         {"detail", incident.detail}});
  news_ = news_ || !told_.contains(KindOf(incident));
  pending_.push_back(std::move(incident));
}

void Incidents::Note(const absl::Status& status, absl::string_view otherwise) {
  const std::string reason = ReasonOf(status);
  Note(reason.empty() ? otherwise : absl::string_view(reason), "", "", status.message());
}

void Incidents::NoteIfForged(absl::string_view service, const absl::Status& status) {
  if (IsForgedServer(status)) {
    Note("SERVER_NOT_VERIFIED", "", "", absl::StrCat("at the address of ", service, ": ", status.message()));
  }
}

std::vector<trust::Incident> Incidents::pending() const {
  absl::MutexLock lock(&mutex_);
  return pending_;
}

void Incidents::Reported(const std::vector<trust::Incident>& reported) {
  absl::MutexLock lock(&mutex_);
  news_ = false;
  for (const trust::Incident& one : reported) {
    if (told_.size() == kMaxKinds) told_.clear();
    told_.insert(KindOf(one));
    const auto same = std::find_if(pending_.begin(), pending_.end(),
                                   [&](const trust::Incident& other) { return SameKind(one, other); });
    if (same == pending_.end()) continue;
    same->count -= one.count;
    if (same->count <= 0) pending_.erase(same);
  }
}

bool Incidents::TakeNews() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(news_, false);
}

}  // namespace countersign::gateway
