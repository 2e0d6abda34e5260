#include "services/rollout/api/rollout_api.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/random.h"
#include "common/db/page_token.h"
#include "common/feed/watch.h"
#include "common/log/log.h"
#include "common/rpc/mutation.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/rollout/api/convert.h"
#include "services/rollout/api/roles.h"

namespace countersign::rollout {
namespace {

constexpr int kDefaultPage = 100;
constexpr int kMaxPage = 1000;
constexpr size_t kMaxFileName = 128;

template <typename Message>
Request RequestOf(const rpc::Call& call, const Message& message) {
  return {call.identity().ToString(), call.method(), message.request_id(), message.SerializeAsString(),
          [](const Rollout& rollout) { return ToProto(rollout).SerializeAsString(); }};
}

absl::Status Read(const std::string& recorded, v1::Rollout* response) {
  if (response->ParseFromString(recorded)) return absl::OkStatus();
  return absl::InternalError("the recorded response cannot be read");
}

// A hint stream: what is waiting when it opens, then what comes.
class HintStream : public rpc::Producer<v1::StreamHintsResponse> {
 public:
  HintStream(std::unique_ptr<HintHub::Subscription> subscription, DirectorStore& store, std::string gateway)
      : subscription_(std::move(subscription)), store_(store), gateway_(std::move(gateway)) {}

  absl::StatusOr<rpc::Step> Next(v1::StreamHintsResponse* response) override {
    if (!opened_) {
      // Read after it was subscribed: nothing falls between. What came while the gateway was away is found
      // here.
      ASSIGN_OR_RETURN(const GatewayStanding standing, store_.Standing(gateway_));
      if (standing.changed) subscription_->Add(HintHub::kMetadata);
      if (standing.prompts_waiting) subscription_->Add(HintHub::kPrompts);
      opened_ = true;
    }
    switch (subscription_->Take()) {
      case HintHub::kMetadata:
        response->set_subject(v1::StreamHintsResponse::SUBJECT_METADATA);
        return rpc::Step::kWrite;
      case HintHub::kPrompts:
        response->set_subject(v1::StreamHintsResponse::SUBJECT_PROMPTS);
        return rpc::Step::kWrite;
      default:
        return rpc::Step::kWait;
    }
  }

 private:
  const std::unique_ptr<HintHub::Subscription> subscription_;
  DirectorStore& store_;
  const std::string gateway_;
  bool opened_ = false;
};

}  // namespace

std::unique_ptr<rpc::Service> RolloutApi::Bind() {
  auto service = std::make_unique<rpc::Service>(RolloutRoles());
  service->Unary("PublishDirectorRoot", this, &RolloutApi::PublishDirectorRoot);
  service->Unary("CreateRollout", this, &RolloutApi::CreateRollout);
  service->Unary("GetRollout", this, &RolloutApi::GetRollout);
  service->Unary("ListRollouts", this, &RolloutApi::ListRollouts);
  service->Unary("StartRollout", this, &RolloutApi::StartRollout);
  service->Unary("PauseRollout", this, &RolloutApi::PauseRollout);
  service->Unary("ResumeRollout", this, &RolloutApi::ResumeRollout);
  service->Unary("AbortRollout", this, &RolloutApi::AbortRollout);
  service->Unary("ListAssignments", this, &RolloutApi::ListAssignments);
  service->Unary("CheckIn", this, &RolloutApi::CheckIn);
  service->Unary("GetDirectorMetadata", this, &RolloutApi::GetDirectorMetadata);
  service->ServerStream("StreamHints", this, &RolloutApi::StreamHints);
  service->Unary("ReportProgress", this, &RolloutApi::ReportProgress);
  service->ServerStream("WatchFailures", this, &RolloutApi::WatchFailures);
  return service;
}

absl::Status RolloutApi::PublishDirectorRoot(const rpc::Call&, const v1::PublishDirectorRootRequest& request,
                                             v1::PublishDirectorRootResponse* response) {
  ASSIGN_OR_RETURN(const int64_t version, parts_.director.PublishRoot(request.metadata()));
  response->set_version(version);
  return absl::OkStatus();
}

absl::Status RolloutApi::CreateRollout(const rpc::Call& call, const v1::CreateRolloutRequest& request,
                                       v1::Rollout* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  Rollout rollout;
  ASSIGN_OR_RETURN(rollout.spec, SpecOf(request.rollout()));
  rollout.id = crypto::RandomHex(8);
  rollout.created_by = call.identity().ToString();
  rollout.create_time = parts_.clock.Now();

  // Pinned here: the rollout installs what its operator has seen, whatever manufacturers announce meanwhile.
  std::vector<Release> releases;
  for (const std::string& name : rollout.spec.releases) {
    ASSIGN_OR_RETURN(Release release, parts_.liaison.GetRelease(name, call.deadline()));
    releases.push_back(std::move(release));
  }
  RETURN_IF_ERROR(parts_.inventory.CheckFilter(rollout.spec.filter, call.deadline()));

  ASSIGN_OR_RETURN(const std::string recorded,
                   parts_.store.Create(rollout, releases, RequestOf(call, request)));
  RETURN_IF_ERROR(Read(recorded, response));
  log::Info("rollout created", {{"rollout", response->name()}, {"by", rollout.created_by}});
  parts_.on_change();
  return absl::OkStatus();
}

absl::Status RolloutApi::GetRollout(const rpc::Call&, const v1::GetRolloutRequest& request,
                                    v1::Rollout* response) {
  ASSIGN_OR_RETURN(const std::string id, RolloutIdOf(request.name()));
  ASSIGN_OR_RETURN(const Rollout rollout, parts_.store.Get(id));
  *response = ToProto(rollout);
  return absl::OkStatus();
}

absl::Status RolloutApi::ListRollouts(const rpc::Call&, const v1::ListRolloutsRequest& request,
                                      v1::ListRolloutsResponse* response) {
  constexpr char kScope[] = "ListRollouts";
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPage, kMaxPage));
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, db::DecodePageToken(kScope, request.page_token(), 2));
  std::optional<std::pair<absl::Time, std::string>> after;
  int64_t micros = 0;
  if (keys.size() == 2 && absl::SimpleAtoi(keys[0], &micros)) after = {absl::FromUnixMicros(micros), keys[1]};
  ASSIGN_OR_RETURN(std::vector<Rollout> rollouts, parts_.store.List(page_size + 1, after));
  if (static_cast<int>(rollouts.size()) > page_size) {
    rollouts.pop_back();
    const std::string last[] = {absl::StrCat(absl::ToUnixMicros(rollouts.back().create_time)),
                                rollouts.back().id};
    response->set_next_page_token(db::EncodePageToken(kScope, last));
  }
  for (const Rollout& rollout : rollouts) *response->add_rollouts() = ToProto(rollout);
  return absl::OkStatus();
}

template <typename VerbRequest>
absl::Status RolloutApi::Apply(const rpc::Call& call, const VerbRequest& request, RolloutEvent event,
                               const std::string& etag, const std::vector<Package>& packages,
                               v1::Rollout* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(const std::string id, RolloutIdOf(request.name()));
  ASSIGN_OR_RETURN(const std::string recorded,
                   parts_.store.Apply(id, event, etag, packages, RequestOf(call, request)));
  RETURN_IF_ERROR(Read(recorded, response));
  log::Info("rollout changed", {{"rollout", id},
                                {"state", RolloutStateName(static_cast<RolloutState>(response->state()))},
                                {"by", call.identity().ToString()}});
  parts_.on_change();
  return absl::OkStatus();
}

// HOME-6: the operator launches, and only what both parties signed.
absl::Status RolloutApi::StartRollout(const rpc::Call& call, const v1::StartRolloutRequest& request,
                                      v1::Rollout* response) {
  ASSIGN_OR_RETURN(const std::string id, RolloutIdOf(request.name()));
  ASSIGN_OR_RETURN(const Rollout rollout, parts_.store.Get(id));
  std::vector<Package> packages;
  // A repeated request must find its record also when the package store is away.
  if (Next(rollout.state, RolloutEvent::kStart).has_value()) {
    // Without one no gateway could be told anything.
    ASSIGN_OR_RETURN(const std::optional<DirectorRoot> root, parts_.director_store.LatestRoot());
    if (!root.has_value()) {
      return Error(absl::StatusCode::kFailedPrecondition, "NO_ROOT",
                   "The Director has no root yet; publish one with PublishDirectorRoot, then launch.");
    }
    ASSIGN_OR_RETURN(const std::vector<Release> releases, parts_.store.Releases(id));
    for (const Release& release : releases) {
      ASSIGN_OR_RETURN(Package package, parts_.package_store.GetApproved(release, call.deadline()));
      packages.push_back(std::move(package));
    }
  }
  return Apply(call, request, RolloutEvent::kStart, request.etag(), packages, response);
}

absl::Status RolloutApi::PauseRollout(const rpc::Call& call, const v1::PauseRolloutRequest& request,
                                      v1::Rollout* response) {
  return Apply(call, request, RolloutEvent::kPause, "", {}, response);
}

absl::Status RolloutApi::ResumeRollout(const rpc::Call& call, const v1::ResumeRolloutRequest& request,
                                       v1::Rollout* response) {
  return Apply(call, request, RolloutEvent::kResume, "", {}, response);
}

absl::Status RolloutApi::AbortRollout(const rpc::Call& call, const v1::AbortRolloutRequest& request,
                                      v1::Rollout* response) {
  return Apply(call, request, RolloutEvent::kAbort, "", {}, response);
}

absl::Status RolloutApi::ListAssignments(const rpc::Call& call, const v1::ListAssignmentsRequest& request,
                                         v1::ListAssignmentsResponse* response) {
  ASSIGN_OR_RETURN(const std::optional<std::string> rollout, ParentOf(request.parent()));
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPage, kMaxPage));
  std::optional<std::string> gateway;
  if (call.identity().role == rpc::Role::kGateway) gateway = call.identity().id;
  const std::string scope = absl::StrCat("ListAssignments ", request.parent(), " ", gateway.value_or("-"));
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, db::DecodePageToken(scope, request.page_token(), 3));
  std::optional<AssignmentKey> after;
  if (keys.size() == 3) after = AssignmentKey{keys[0], keys[1], keys[2]};
  if (rollout.has_value()) RETURN_IF_ERROR(parts_.store.Get(*rollout).status());
  ASSIGN_OR_RETURN(std::vector<AssignmentView> views,
                   parts_.store.Assignments(rollout, gateway, page_size + 1, after));
  if (static_cast<int>(views.size()) > page_size) {
    views.pop_back();
    const Assignment& last = views.back().assignment;
    const std::string last_key[] = {last.gateway, last.ecu_serial, last.rollout};
    response->set_next_page_token(db::EncodePageToken(scope, last_key));
  }
  for (const AssignmentView& view : views) *response->add_assignments() = ToProto(view);
  return absl::OkStatus();
}

absl::Status RolloutApi::CheckIn(const rpc::Call& call, const v1::CheckInRequest& request,
                                 v1::CheckInResponse* response) {
  ASSIGN_OR_RETURN(const GatewayStanding standing, parts_.director_store.Standing(call.identity().id));
  response->set_metadata_available(standing.changed ||
                                   standing.targets_version > request.director_targets_version());
  response->set_prompts_waiting(standing.prompts_waiting);
  response->mutable_next_check_in()->set_seconds(absl::ToInt64Seconds(parts_.next_check_in));
  return absl::OkStatus();
}

// FOTA-B: whose repository a gateway reads is what its certificate says.
absl::Status RolloutApi::GetDirectorMetadata(const rpc::Call& call,
                                             const v1::GetDirectorMetadataRequest& request,
                                             v1::GetDirectorMetadataResponse* response) {
  if (request.file_name().empty() || request.file_name().size() > kMaxFileName) {
    return Error(absl::StatusCode::kInvalidArgument, "FILE_NAME_INVALID",
                 "file_name must have 1 to 128 characters.");
  }
  std::string gateway = call.identity().id;
  if (call.identity().role == rpc::Role::kOperator) {
    gateway = request.gateway();
    if (!IsResourceId(gateway)) {
      return Error(absl::StatusCode::kInvalidArgument, "GATEWAY_MISSING",
                   "gateway must be the id of the gateway whose metadata it is.");
    }
  } else if (!request.gateway().empty() && request.gateway() != gateway) {
    return Error(absl::StatusCode::kPermissionDenied, "GATEWAY_MISMATCH",
                 "A gateway reads its own Director metadata and no other's.");
  }
  ASSIGN_OR_RETURN(std::string content, parts_.director.File(gateway, request.file_name()));
  response->set_content(std::move(content));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<rpc::Producer<v1::StreamHintsResponse>>> RolloutApi::StreamHints(
    const rpc::Call& call, const v1::StreamHintsRequest&, rpc::Waker waker) {
  const std::string& gateway = call.identity().id;
  return std::make_unique<HintStream>(parts_.hints.Subscribe(gateway, std::move(waker)),
                                      parts_.director_store, gateway);
}

absl::Status RolloutApi::ReportProgress(const rpc::Call& call, const v1::ReportProgressRequest& request,
                                        v1::ReportProgressResponse* response) {
  ASSIGN_OR_RETURN(const std::vector<Progress> progress, ProgressOf(request));
  ASSIGN_OR_RETURN(const std::vector<bool> accepted, parts_.store.Report(call.identity().id, progress));
  for (size_t i = 0; i < progress.size(); ++i) {
    response->add_accepted(accepted[i]);
    // A download that has its troubles is no failure yet, and nothing of it stays with the assignment.
    if (!accepted[i] || progress[i].event != AssignmentEvent::kReportedDownloading ||
        progress[i].failure_reason == 0) {
      continue;
    }
    const std::string reason = FailureReasonName(progress[i].failure_reason);
    parts_.download_troubles.With({reason}).Increment();
    log::Warn("a download has its troubles", {{"gateway", call.identity().id},
                                              {"ecu_serial", progress[i].ecu_serial},
                                              {"sha256", progress[i].sha256},
                                              {"reason", reason},
                                              {"detail", progress[i].failure_detail}});
  }
  parts_.on_change();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<rpc::Producer<v1::WatchFailuresResponse>>> RolloutApi::WatchFailures(
    const rpc::Call&, const v1::WatchFailuresRequest& request, rpc::Waker waker) {
  using Failures = feed::Watch<v1::WatchFailuresResponse>;
  return std::make_unique<Failures>(
      parts_.database, parts_.tail, request.resume_token(), std::move(waker),
      [](feed::Event& event, v1::WatchFailuresResponse* response) -> absl::StatusOr<bool> {
        if (event.kind != kFailureKind) return false;  // hints
        ASSIGN_OR_RETURN(const FailedUpdate failure, DecodeFailure(event.payload));
        *response = ToProto(failure, event.created_at);
        response->set_resume_token(std::move(event.token));
        return true;
      });
}

}  // namespace countersign::rollout
