// Tells the server how far updates are (FOTA-F).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_PROGRESS_H_
#define COUNTERSIGN_TOOLS_GATEWAY_PROGRESS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "countersign/common/v1/update.pb.h"

namespace grpc {
class Channel;
}

namespace countersign::gateway {

struct ProgressEntry {
  std::string ecu_serial;
  std::string sha256;
  common::v1::UpdatePhase phase = common::v1::UPDATE_PHASE_UNSPECIFIED;
  common::v1::FailureReason reason = common::v1::FAILURE_REASON_UNSPECIFIED;
  std::string detail;
};

// What the server takes as a detail: at most 1,000 bytes, cut between characters, without NUL.
std::string ClipDetail(absl::string_view text);

class ProgressTeller {
 public:
  // `rollout` is the channel to the service.
  explicit ProgressTeller(std::shared_ptr<grpc::Channel> rollout) : rollout_(std::move(rollout)) {}

  // Whether the server took each, all in one transaction of its own. Errors are the call's.
  absl::StatusOr<std::vector<bool>> Tell(const std::vector<ProgressEntry>& entries) const;
  absl::StatusOr<bool> Tell(const ProgressEntry& entry) const;
  // Only news: the server does without. Failures are logged.
  void TellNews(const ProgressEntry& entry) const;

 private:
  const std::shared_ptr<grpc::Channel> rollout_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_PROGRESS_H_
