#ifndef COUNTERSIGN_SERVICES_INVENTORY_CLIENTS_APPID_REGISTRY_CLIENT_H_
#define COUNTERSIGN_SERVICES_INVENTORY_CLIENTS_APPID_REGISTRY_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/channel.h"
#include "services/inventory/domain/component.h"

namespace countersign::inventory {

// Asks the App-ID registry. Thread-safe. Blocks.
class AppIdRegistryClient {
 public:
  // `address` is host:port. Connects when first used.
  AppIdRegistryClient(const rpc::Dialer& dialer, absl::string_view address);
  ~AppIdRegistryClient();

  struct Verdict {
    domain::AppIdStatus status = domain::AppIdStatus::kNone;
    std::vector<domain::AppIdFinding> findings;  // at most 32
  };

  // What the registry says of `app_id`. INVALID_ARGUMENT when it is not an App-ID; UNAVAILABLE
  // (APP_ID_REGISTRY_UNAVAILABLE) when no answer came until `deadline`.
  absl::StatusOr<Verdict> Verify(absl::string_view app_id, absl::Time deadline);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_CLIENTS_APPID_REGISTRY_CLIENT_H_
