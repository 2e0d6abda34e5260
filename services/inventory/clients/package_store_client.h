#ifndef COUNTERSIGN_SERVICES_INVENTORY_CLIENTS_PACKAGE_STORE_CLIENT_H_
#define COUNTERSIGN_SERVICES_INVENTORY_CLIENTS_PACKAGE_STORE_CLIENT_H_

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/feed/follower.h"
#include "common/rpc/channel.h"
#include "services/inventory/storage/published_images.h"

namespace countersign::inventory {

// What the package store has published. Thread-safe; blocks.
class PackageStoreClient {
 public:
  // `address` is host:port. Connects when first used.
  PackageStoreClient(const rpc::Dialer& dialer, absl::string_view address);
  ~PackageStoreClient();

  // For feed::Follower: packages as they are published, revoked and withdrawn; PublicationOf() reads the
  // events.
  absl::Status Watch(const std::string& token, const feed::Follower::Sink& sink, std::stop_token stop);
  static absl::StatusOr<Publication> PublicationOf(const feed::Event& event);

  // All there are and were, in pages. An error of `take` ends it and is returned.
  using Take = std::function<absl::Status(const std::vector<Publication>& publications)>;
  absl::Status ListAll(const Take& take, std::stop_token stop);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_CLIENTS_PACKAGE_STORE_CLIENT_H_
