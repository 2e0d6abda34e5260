#ifndef COUNTERSIGN_SERVICES_ROLLOUT_API_ROLLOUT_API_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_API_ROLLOUT_API_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "common/feed/tail.h"
#include "common/metrics/metrics.h"
#include "common/rpc/handler.h"
#include "countersign/rollout/v1/rollout.pb.h"
#include "services/rollout/api/director.h"
#include "services/rollout/api/hint_hub.h"
#include "services/rollout/clients/inventory_client.h"
#include "services/rollout/clients/liaison_client.h"
#include "services/rollout/clients/package_store_client.h"
#include "services/rollout/storage/director_store.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

// The handlers of countersign.rollout.v1.RolloutService.
class RolloutApi {
 public:
  // All of it must outlive the API.
  struct Parts {
    db::Database& database;
    feed::Tail& tail;
    RolloutStore& store;
    DirectorStore& director_store;
    Director& director;
    HintHub& hints;
    LiaisonClient& liaison;
    PackageStoreClient& package_store;
    InventoryClient& inventory;
    const Clock& clock;
    absl::Duration next_check_in;
    metrics::CounterFamily download_troubles;  // by reason
    std::function<void()> on_change;           // there may be work for the workers; must not block
  };

  explicit RolloutApi(Parts parts) : parts_(std::move(parts)) {}

  std::unique_ptr<rpc::Service> Bind();

 private:
  absl::Status PublishDirectorRoot(const rpc::Call& call, const v1::PublishDirectorRootRequest& request,
                                   v1::PublishDirectorRootResponse* response);
  absl::Status CreateRollout(const rpc::Call& call, const v1::CreateRolloutRequest& request,
                             v1::Rollout* response);
  absl::Status GetRollout(const rpc::Call& call, const v1::GetRolloutRequest& request, v1::Rollout* response);
  absl::Status ListRollouts(const rpc::Call& call, const v1::ListRolloutsRequest& request,
                            v1::ListRolloutsResponse* response);
  absl::Status StartRollout(const rpc::Call& call, const v1::StartRolloutRequest& request,
                            v1::Rollout* response);
  absl::Status PauseRollout(const rpc::Call& call, const v1::PauseRolloutRequest& request,
                            v1::Rollout* response);
  absl::Status ResumeRollout(const rpc::Call& call, const v1::ResumeRolloutRequest& request,
                             v1::Rollout* response);
  absl::Status AbortRollout(const rpc::Call& call, const v1::AbortRolloutRequest& request,
                            v1::Rollout* response);
  absl::Status ListAssignments(const rpc::Call& call, const v1::ListAssignmentsRequest& request,
                               v1::ListAssignmentsResponse* response);
  absl::Status CheckIn(const rpc::Call& call, const v1::CheckInRequest& request,
                       v1::CheckInResponse* response);
  absl::Status GetDirectorMetadata(const rpc::Call& call, const v1::GetDirectorMetadataRequest& request,
                                   v1::GetDirectorMetadataResponse* response);
  absl::StatusOr<std::unique_ptr<rpc::Producer<v1::StreamHintsResponse>>> StreamHints(
      const rpc::Call& call, const v1::StreamHintsRequest& request, rpc::Waker waker);
  absl::Status ReportProgress(const rpc::Call& call, const v1::ReportProgressRequest& request,
                              v1::ReportProgressResponse* response);
  absl::StatusOr<std::unique_ptr<rpc::Producer<v1::WatchFailuresResponse>>> WatchFailures(
      const rpc::Call& call, const v1::WatchFailuresRequest& request, rpc::Waker waker);

  // A verb that an operator asked for.
  template <typename VerbRequest>
  absl::Status Apply(const rpc::Call& call, const VerbRequest& request, RolloutEvent event,
                     const std::string& etag, const std::vector<Package>& packages, v1::Rollout* response);

  const Parts parts_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_API_ROLLOUT_API_H_
