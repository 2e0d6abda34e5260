#ifndef COUNTERSIGN_SERVICES_LIAISON_CLIENTS_BACKEND_CLIENT_H_
#define COUNTERSIGN_SERVICES_LIAISON_CLIENTS_BACKEND_CLIENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/channel.h"
#include "countersign/manufacturer/v1/manufacturer.pb.h"
#include "services/liaison/clients/call_group.h"
#include "services/liaison/domain/values.h"

namespace countersign::liaison {

// A manufacturer's backend, which is believed to be the manufacturer's and nothing else. Thread-safe. Blocks.
class BackendClient {
 public:
  // Only a server whose certificate says `manufacturer/<manufacturer>` is talked to.
  // Its calls are members of `calls`, which outlives it.
  BackendClient(const rpc::Dialer& dialer, CallGroup& calls, absl::string_view manufacturer,
                absl::string_view address);
  ~BackendClient();

  // All that is offered. RESOURCE_EXHAUSTED (TOO_MANY_RELEASES) beyond 10,000.
  absl::StatusOr<std::vector<manufacturer::v1::OfferedRelease>> ListReleases(absl::Time deadline);

  // nullopt when there is none.
  absl::StatusOr<std::optional<std::string>> GetRoleMetadata(absl::Time deadline);

  // The bytes of an image from `offset` on, to `sink`, until they end or it returns an error. How many come
  // is for the sink to judge. A backend that sends less than 16 KiB a second for all of a `stall_window` is
  // left: DEADLINE_EXCEEDED (BACKEND_STALLED).
  absl::Status DownloadImage(absl::string_view sha256, int64_t offset,
                             absl::FunctionRef<absl::Status(absl::string_view)> sink, absl::Time deadline,
                             absl::Duration stall_window);

  absl::Status ReceiveNotice(const domain::Notice& notice, absl::Time deadline);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::liaison

#endif  // COUNTERSIGN_SERVICES_LIAISON_CLIENTS_BACKEND_CLIENT_H_
