#include "services/liaison/workers/refresher.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/worker/periodic.h"
#include "services/liaison/api/convert.h"

namespace countersign::liaison {
namespace {

// A replica that dies in the middle of a round is replaced after this. One that lives renews its lease long
// before.
constexpr absl::Duration kLease = absl::Seconds(12);
constexpr absl::Duration kLeaseRenewal = absl::Seconds(3);
constexpr absl::Duration kCallTimeout = absl::Seconds(30);
// An image of 4 GiB at 10 MB/s, and some.
constexpr absl::Duration kImageTimeout = absl::Minutes(10);
constexpr size_t kMaxErrorSize = 2000;
constexpr int kDeliveriesARound = 100;

// An error for the operator to read: what is wrong with each release, in one text.
class Problems {
 public:
  void Add(const absl::Status& status) {
    if (status.ok()) return;
    if (first_.ok()) first_ = status;
    if (text_.size() < kMaxErrorSize) absl::StrAppend(&text_, text_.empty() ? "" : "; ", status.message());
  }
  absl::Status ToStatus() const {
    if (first_.ok()) return absl::OkStatus();
    return Error(first_.code(), ReasonOf(first_), text_.substr(0, kMaxErrorSize));
  }

 private:
  absl::Status first_;
  std::string text_;
};

// For the operator; what comes from gRPC itself has no reason but a code.
std::string Describe(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return absl::StrCat(status.message(), " (",
                      reason.empty() ? absl::StatusCodeToString(status.code()) : reason, ")");
}

}  // namespace

Refresher::Refresher(const Parts& parts)
    : parts_(parts),
      owner_(crypto::Uuid()),
      refreshes_(parts.registry.AddCounter("countersign_liaison_refreshes_total",
                                           "Questions to manufacturers' backends, by how they ended.",
                                           {"outcome"})) {
  for (const char* outcome : {"succeeded", "failed"}) refreshes_.With({outcome});
}

absl::Status Refresher::Round() {
  while (true) {
    const absl::Time now = parts_.clock.Now();
    ASSIGN_OR_RETURN(const std::optional<domain::Manufacturer> manufacturer,
                     parts_.store.ClaimRefresh(owner_, now, now + kLease));
    if (!manufacturer.has_value()) return absl::OkStatus();
    const absl::Status outcome = RefreshHoldingLease(*manufacturer);
    // A replica that stops has not failed: its turn is due still, and the lease is given back.
    if (parts_.calls.cancelled())
      return parts_.store.ExtendLease(manufacturer->id, owner_, parts_.clock.Now());
    refreshes_.With({outcome.ok() ? "succeeded" : "failed"}).Increment();
    if (!outcome.ok()) {
      log::Warn("a manufacturer's backend could not be refreshed from",
                {{"manufacturer", manufacturer->id}, {"status", outcome}});
    }
    const absl::Time end = parts_.clock.Now();
    const std::string error = outcome.ok() ? "" : Describe(outcome);
    RETURN_IF_ERROR(parts_.store.FinishRefresh(manufacturer->id, owner_, manufacturer->next_refresh, end,
                                               end + parts_.interval, error));
  }
}

absl::Status Refresher::RefreshHoldingLease(const domain::Manufacturer& manufacturer) {
  // By the clock and not by what was done: a backend that says nothing for a while does not cost the lease.
  const Periodic renewal("lease of a refresh", kLeaseRenewal, [&] {
    return parts_.store.ExtendLease(manufacturer.id, owner_, parts_.clock.Now() + kLease);
  });
  return Refresh(manufacturer);
}

absl::Status Refresher::Refresh(const domain::Manufacturer& manufacturer) {
  BackendClient backend(parts_.dialer, parts_.calls, manufacturer.id, manufacturer.backend_address);
  ASSIGN_OR_RETURN(const std::vector<manufacturer::v1::OfferedRelease> offered,
                   backend.ListReleases(parts_.clock.Now() + kCallTimeout));
  Problems problems;
  std::vector<domain::Release> releases;
  std::vector<std::string> ids;
  for (const manufacturer::v1::OfferedRelease& offer : offered) {
    absl::StatusOr<domain::Release> release =
        MakeRelease(manufacturer.id, offer.release_id(), offer.info(), parts_.clock.Now());
    problems.Add(release.status());
    if (!release.ok()) continue;
    ids.push_back(release->offer.release_id);
    releases.push_back(*std::move(release));
  }
  // In the order in which they came to be: a counter is compared with those before it.
  std::sort(releases.begin(), releases.end(), [](const domain::Release& a, const domain::Release& b) {
    return a.offer.release_counter < b.offer.release_counter;
  });
  for (const domain::Release& release : releases) problems.Add(Retrieve(manufacturer, backend, release));
  problems.Add(parts_.store.WithdrawOthers(manufacturer.id, ids));
  problems.Add(Propose(manufacturer, backend));
  return problems.ToStatus();
}

absl::Status Refresher::Retrieve(const domain::Manufacturer& manufacturer, BackendClient& backend,
                                 const domain::Release& release) {
  const std::string& id = release.offer.release_id;
  absl::StatusOr<domain::Release> kept = parts_.store.TakeOffer(release);
  if (!kept.ok()) return Annotate(kept.status(), id);
  if (kept->state == domain::ReleaseState::kAvailable) return absl::OkStatus();

  common::v1::ReleaseInfo info;
  info.ParseFromString(release.info);
  const absl::Time deadline = parts_.clock.Now() + kImageTimeout;
  const auto download = [&](int64_t offset, PackageStoreClient::Sink sink) {
    return backend.DownloadImage(info.image().sha256(), offset, sink, deadline, parts_.stall_window);
  };
  const absl::Status ensured = parts_.package_store.EnsureImage(
      manufacturer.id, info.image().sha256(), info.image().length_bytes(), download, deadline);
  if (!ensured.ok()) return Annotate(ensured, id);
  // What another replica has taken over is that one's to say.
  RETURN_IF_ERROR(parts_.store.ExtendLease(manufacturer.id, owner_, parts_.clock.Now() + kLease));
  log::Info("an image came from its manufacturer's backend",
            {{"manufacturer", manufacturer.id}, {"release", id}});
  return parts_.store.SetReleaseState(manufacturer.id, id, domain::ReleaseState::kAvailable);
}

absl::Status Refresher::Propose(const domain::Manufacturer& manufacturer, BackendClient& backend) {
  ASSIGN_OR_RETURN(const std::optional<std::string> metadata,
                   backend.GetRoleMetadata(parts_.clock.Now() + kCallTimeout));
  if (!metadata.has_value()) return absl::OkStatus();
  const std::string sha256 = crypto::Sha256Hex(*metadata);
  if (sha256 == manufacturer.proposed_sha256) return absl::OkStatus();
  const absl::Status proposed =
      parts_.package_store.Propose(manufacturer.id, *metadata, parts_.clock.Now() + kCallTimeout);
  if (!proposed.ok()) return Annotate(proposed, "role metadata");
  return parts_.store.SetProposed(manufacturer.id, sha256);
}

absl::Status Messenger::Round() {
  const absl::Time now = parts_.clock.Now();
  ASSIGN_OR_RETURN(const std::vector<LiaisonStore::Delivery> deliveries,
                   parts_.store.ClaimDeliveries(now, now + parts_.retry, kDeliveriesARound));
  // One who does not answer is not waited for again: the others' notices are due too.
  std::set<std::string> silent;
  for (const LiaisonStore::Delivery& delivery : deliveries) {
    const domain::Notice& notice = delivery.notice;
    if (silent.count(notice.manufacturer) > 0) continue;
    BackendClient backend(parts_.dialer, parts_.calls, notice.manufacturer, delivery.backend_address);
    const absl::Status received = backend.ReceiveNotice(notice, parts_.clock.Now() + kCallTimeout);
    if (!received.ok()) {
      log::Warn("a notice could not be delivered and will be tried again",
                {{"manufacturer", notice.manufacturer}, {"status", received}});
      silent.insert(notice.manufacturer);
      continue;
    }
    RETURN_IF_ERROR(parts_.store.MarkDelivered(notice.manufacturer, {notice.id}));
  }
  return absl::OkStatus();
}

}  // namespace countersign::liaison
