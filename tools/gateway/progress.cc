#include "tools/gateway/progress.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>

#include "absl/time/time.h"
#include "common/log/log.h"
#include "common/rpc/channel.h"
#include "common/status/macros.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"

namespace countersign::gateway {
namespace {

using namespace common::v1;
using rollout::v1::RolloutService;

constexpr absl::Duration kCallTimeout = absl::Seconds(20);
constexpr size_t kMaxDetail = 1000;

}  // namespace

std::string ClipDetail(absl::string_view text) {
  if (text.size() > kMaxDetail) {
    size_t end = kMaxDetail;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end);
  }
  std::string clipped(text);
  std::replace(clipped.begin(), clipped.end(), '\0', ' ');
  return clipped;
}

absl::StatusOr<std::vector<bool>> ProgressTeller::Tell(const std::vector<ProgressEntry>& entries) const {
  rollout::v1::ReportProgressRequest request;
  for (const ProgressEntry& entry : entries) {
    rollout::v1::Progress& progress = *request.add_progress();
    progress.set_ecu_serial(entry.ecu_serial);
    progress.set_sha256(entry.sha256);
    progress.set_phase(entry.phase);
    progress.set_failure_reason(entry.reason);
    progress.set_failure_detail(ClipDetail(entry.detail));
  }
  rpc::CallContext context(kCallTimeout);
  rollout::v1::ReportProgressResponse response;
  RETURN_IF_ERROR(
      rpc::FromGrpc(RolloutService::NewStub(rollout_)->ReportProgress(context.get(), request, &response)));
  std::vector<bool> taken(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    taken[i] = static_cast<int>(i) < response.accepted_size() && response.accepted(static_cast<int>(i));
    log::Info("told", {{"ecu_serial", entries[i].ecu_serial},
                       {"phase", UpdatePhase_Name(entries[i].phase)},
                       {"reason", FailureReason_Name(entries[i].reason)},
                       {"taken", static_cast<bool>(taken[i])}});
  }
  return taken;
}

absl::StatusOr<bool> ProgressTeller::Tell(const ProgressEntry& entry) const {
  ASSIGN_OR_RETURN(const std::vector<bool> taken, Tell(std::vector<ProgressEntry>{entry}));
  return static_cast<bool>(taken[0]);
}

void ProgressTeller::TellNews(const ProgressEntry& entry) const {
  if (const auto told = Tell(entry); !told.ok()) {
    log::Warn("progress not told", {{"ecu_serial", entry.ecu_serial}, {"error", told.status()}});
  }
}

}  // namespace countersign::gateway
