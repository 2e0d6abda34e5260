#include "services/inventory/clients/rollout_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "absl/strings/strip.h"
#include "common/feed/pump.h"
#include "common/rpc/status_grpc.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"

namespace countersign::inventory {
namespace {

using rollout::v1::RolloutService;
using rollout::v1::WatchFailuresResponse;

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

}  // namespace

struct RolloutClient::State {
  std::unique_ptr<RolloutService::Stub> stub;
};

RolloutClient::RolloutClient(const rpc::Dialer& dialer, absl::string_view address)
    : state_(new State{RolloutService::NewStub(dialer.Dial(address, {rpc::Role::kService, "rollout"}))}) {}

RolloutClient::~RolloutClient() = default;

absl::Status RolloutClient::Watch(const std::string& token, const feed::Follower::Sink& sink,
                                  std::stop_token stop) {
  rollout::v1::WatchFailuresRequest request;
  request.set_resume_token(token);
  rpc::CallContext context(absl::InfiniteFuture());
  const auto reader = state_->stub->WatchFailures(context.get(), request);
  return feed::PumpWatch<WatchFailuresResponse>(
      *context.get(), *reader,
      [](const WatchFailuresResponse& response) {
        feed::Event event;
        event.token = response.resume_token();
        event.kind = "failure";
        event.key = response.ecu_serial();
        event.payload = response.SerializeAsString();
        event.created_at = TimeOf(response.time());
        return event;
      },
      sink, stop);
}

absl::StatusOr<UpdateOutcome> RolloutClient::OutcomeOf(const feed::Event& event) {
  WatchFailuresResponse response;
  if (!response.ParseFromString(event.payload)) return absl::InternalError("not a failure");
  UpdateOutcome outcome;
  outcome.gateway_id = response.gateway();
  outcome.ecu_serial = response.ecu_serial();
  outcome.failure.time = TimeOf(response.time());
  outcome.failure.phase =
      std::string(absl::StripPrefix(common::v1::UpdatePhase_Name(response.phase()), "UPDATE_PHASE_"));
  outcome.failure.reason = std::string(
      absl::StripPrefix(common::v1::FailureReason_Name(response.failure_reason()), "FAILURE_REASON_"));
  outcome.failure.detail = response.failure_detail();
  outcome.failure.version = response.version();
  outcome.failure.rollout = response.rollout();
  return outcome;
}

}  // namespace countersign::inventory
