// A simulated gateway: it does what the reference gateway (tools/gateway) does, for devices that are
// simulated, and keeps account of what the services answered.
#ifndef COUNTERSIGN_TOOLS_FLEET_GATEWAY_H_
#define COUNTERSIGN_TOOLS_FLEET_GATEWAY_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/trust/client.h"
#include "common/trust/update.h"
#include "tools/fleet/component.h"
#include "tools/fleet/identity.h"
#include "tools/fleet/plan.h"
#include "tools/fleet/shared.h"
#include "tools/fleet/stream.h"

namespace grpc {
class Channel;
}

namespace countersign::fleet {

class Gateway {
 public:
  // Both outlive it.
  Gateway(const GatewayPlan& plan, const Shared& shared);
  ~Gateway();  // after Stop()

  // Does what is due, in calls that block, and returns when to come again; never fails: what went wrong is
  // counted and tried again later. One turn at a time.
  absl::Time Turn();

  // Ends the stream; no turn runs or follows.
  void Stop();

  // What this gateway knows of its components, one JSON object a line. Not during a turn.
  std::string Account() const;

 private:
  // What the services answered about a component.
  struct Ledger {
    int64_t accepted = 0;
    std::map<std::string, int64_t> refused;  // by reason
    std::string state;                       // as last answered
    int64_t report_counter = 0;              // of the last accepted report
    std::string version, sha256;             // the same
    std::string phase;                       // of the last update, as last taken or answered
  };

  absl::Status Step();
  absl::Status Introduce();
  absl::Status ResumeFromInventory();
  absl::Status Report();
  absl::Status CreatePolicy();
  void FollowHints();
  absl::Status CheckIn();
  absl::Status AnswerPrompts();
  absl::Status Look();
  absl::StatusOr<std::vector<trust::VerifiedUpdate>> Verify();
  absl::StatusOr<std::vector<trust::VerifiedUpdate>> ReadUnverified();
  absl::Status Advance();
  absl::Status Download(Component& component);
  std::vector<trust::InstalledComponent> Installed() const;
  absl::Time NextTurn() const;

  absl::StatusOr<std::string> FetchDirector(const std::string& file_name);
  absl::StatusOr<std::string> FetchImages(const std::string& file_name);
  std::shared_ptr<grpc::Channel> Dial(const std::string& address, absl::string_view service) const;
  const std::shared_ptr<grpc::Channel>& PackageStore();
  double NextDraw(absl::string_view purpose);
  Component* Find(const std::string& serial);

  const GatewayPlan& plan_;
  const Shared& shared_;
  std::vector<Component> components_;
  std::vector<Ledger> ledgers_;  // as components_

  std::optional<GatewayKeys> keys_;
  rpc::MemoryTls tls_;
  // The one connection that stays: for hints, check-ins and the Director. The others are made when they are
  // needed and given up afterwards, as gateways do that call once in a while.
  std::shared_ptr<grpc::Channel> rollout_;
  std::shared_ptr<grpc::Channel> package_store_;
  trust::MemoryStore director_store_;
  SharedStore image_store_;

  int64_t manifest_counter_;
  int64_t reports_ = 0;
  int64_t draws_ = 0;
  int64_t director_version_ = 0;
  bool resumed_ = false;
  bool policy_made_ = false;
  bool look_due_ = false;
  int failures_ = 0;
  absl::Time next_report_ = absl::InfinitePast();
  absl::Time next_check_in_ = absl::InfinitePast();

  std::atomic<bool> hinted_ = false;
  std::atomic<bool> stream_ended_ = false;
  std::unique_ptr<HintStream> hints_;
  int stream_failures_ = 0;
  absl::Time next_stream_ = absl::InfinitePast();
};

}  // namespace countersign::fleet

#endif  // COUNTERSIGN_TOOLS_FLEET_GATEWAY_H_
