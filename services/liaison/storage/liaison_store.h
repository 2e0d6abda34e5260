#ifndef COUNTERSIGN_SERVICES_LIAISON_STORAGE_LIAISON_STORE_H_
#define COUNTERSIGN_SERVICES_LIAISON_STORAGE_LIAISON_STORE_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "services/liaison/domain/values.h"

namespace countersign::liaison {

// Who asks for a change, and what identifies the request (common/db/request_ids.h).
struct Mutation {
  std::string principal;
  std::string method;
  std::string request_id;
  std::string request_bytes;
};

// Manufacturers, releases and notices in PostgreSQL. Thread-safe. Blocks. Errors are those named here and
// Database's. Each mutation returns what `encode` makes of the result, or what an equal request got before.
class LiaisonStore {
 public:
  template <typename Value>
  using Encode = absl::FunctionRef<std::string(const Value&)>;
  // A position in the order of (manufacturer, id).
  using Key = std::pair<std::string, std::string>;

  // `database` must outlive it.
  explicit LiaisonStore(db::Database& database) : database_(database) {}

  // ALREADY_EXISTS (MANUFACTURER_EXISTS). One with a backend is asked as soon as a worker comes by.
  absl::StatusOr<std::string> CreateManufacturer(const Mutation& mutation,
                                                 const domain::Manufacturer& manufacturer,
                                                 Encode<domain::Manufacturer> encode);
  absl::StatusOr<domain::Manufacturer> GetManufacturer(
      absl::string_view id);  // NOT_FOUND (MANUFACTURER_UNKNOWN)
  absl::StatusOr<std::vector<domain::Manufacturer>> ListManufacturers(absl::string_view after, int limit);

  // Has the backend asked at the next round, and counts as running from now. NOT_FOUND, FAILED_PRECONDITION
  // (NO_BACKEND).
  absl::StatusOr<std::string> RequestRefresh(const Mutation& mutation, absl::string_view id, absl::Time now,
                                             Encode<domain::Manufacturer> encode);

  // One manufacturer whose backend is to be asked, for `owner` alone until `lease_until`; nullopt when there
  // is none. A lease that ran out, of a replica that died, is taken over.
  absl::StatusOr<std::optional<domain::Manufacturer>> ClaimRefresh(absl::string_view owner, absl::Time now,
                                                                   absl::Time lease_until);
  // ABORTED (LEASE_LOST) when it has been taken over.
  absl::Status ExtendLease(absl::string_view id, absl::string_view owner, absl::Time lease_until);
  // The outcome of what was claimed with `next_refresh`; `error` empty for success. Who asked for a refresh
  // meanwhile gets another one at once. ABORTED (LEASE_LOST).
  absl::Status FinishRefresh(absl::string_view id, absl::string_view owner, absl::Time next_refresh,
                             absl::Time now, absl::Time next, const std::string& error);
  absl::Status SetProposed(absl::string_view id, absl::string_view sha256);

  // A release that a manufacturer pushes. ALREADY_EXISTS (RELEASE_EXISTS), NOT_FOUND (MANUFACTURER_UNKNOWN),
  // FAILED_PRECONDITION (RELEASE_COUNTER_FELL).
  absl::StatusOr<std::string> CreateRelease(const Mutation& mutation, const domain::Release& release,
                                            Encode<domain::Release> encode);
  // A release that a backend offers: new as `release.state`, known and withdrawn available again, otherwise
  // unchanged. Returns it as it is kept. FAILED_PRECONDITION (RELEASE_COUNTER_FELL), (RELEASE_CHANGED) when
  // what is said of it is not what was said before: a release is a statement that stays.
  absl::StatusOr<domain::Release> TakeOffer(const domain::Release& release);
  absl::Status SetReleaseState(absl::string_view manufacturer, absl::string_view id,
                               domain::ReleaseState state);
  // Withdraws what the manufacturer no longer offers.
  absl::Status WithdrawOthers(absl::string_view manufacturer, const std::vector<std::string>& offered_ids);

  absl::StatusOr<domain::Release> GetRelease(absl::string_view manufacturer,
                                             absl::string_view id);  // NOT_FOUND (RELEASE_UNKNOWN)
  // Of `manufacturer`, or of all when it is empty, by (manufacturer, id).
  absl::StatusOr<std::vector<domain::Release>> ListReleases(absl::string_view manufacturer, const Key& after,
                                                            int limit);
  // What is available for a model.
  absl::StatusOr<std::vector<domain::Release>> FindOffers(absl::string_view manufacturer,
                                                          absl::string_view model);

  // NOT_FOUND (MANUFACTURER_UNKNOWN).
  absl::StatusOr<std::string> CreateNotice(const Mutation& mutation, const domain::Notice& notice,
                                           Encode<domain::Notice> encode);
  // Of `manufacturer`, or of all when it is empty, newest first; ids are in order of time.
  absl::StatusOr<std::vector<domain::Notice>> ListNotices(absl::string_view manufacturer, const Key& after,
                                                          int limit);
  absl::Status MarkDelivered(absl::string_view manufacturer, const std::vector<std::string>& ids);
  // Pending notices to manufacturers with a backend; nobody else gets them before `retry`.
  struct Delivery {
    domain::Notice notice;
    std::string backend_address;
  };
  absl::StatusOr<std::vector<Delivery>> ClaimDeliveries(absl::Time now, absl::Time retry, int limit);

 private:
  db::Database& database_;
};

}  // namespace countersign::liaison

#endif  // COUNTERSIGN_SERVICES_LIAISON_STORAGE_LIAISON_STORE_H_
