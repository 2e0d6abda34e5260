#ifndef COUNTERSIGN_SERVICES_LIAISON_CLIENTS_PACKAGE_STORE_CLIENT_H_
#define COUNTERSIGN_SERVICES_LIAISON_CLIENTS_PACKAGE_STORE_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/channel.h"
#include "services/liaison/clients/call_group.h"

namespace countersign::liaison {

// Brings images and role metadata of a manufacturer to the package store. Thread-safe. Blocks.
class PackageStoreClient {
 public:
  // `address` is host:port. Connects when first used. What takes long is a member of `calls`, which outlives
  // it.
  PackageStoreClient(const rpc::Dialer& dialer, CallGroup& calls, absl::string_view address);
  ~PackageStoreClient();

  // The length of the manufacturer's image, if the store has all of it.
  absl::StatusOr<std::optional<int64_t>> StoredLength(absl::string_view manufacturer,
                                                      absl::string_view sha256, absl::Time deadline);

  // Takes bytes of an image, in order.
  using Sink = absl::FunctionRef<absl::Status(absl::string_view)>;
  // Gives the bytes of an image from an offset on to a sink, and ends with the sink's first error.
  using Source = absl::FunctionRef<absl::Status(int64_t offset, Sink sink)>;

  // Makes sure that the store has the image: nothing is fetched when it has, and what it has of a cut upload
  // is not fetched again. DATA_LOSS (DIGEST_MISMATCH) when the bytes are not those promised, OUT_OF_RANGE
  // (LENGTH_EXCEEDED) when there are more.
  absl::Status EnsureImage(absl::string_view manufacturer, absl::string_view sha256, int64_t length,
                           Source source, absl::Time deadline);

  // Proposes role metadata; repeated with the same bytes it does nothing twice.
  absl::Status Propose(absl::string_view manufacturer, absl::string_view metadata, absl::Time deadline);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::liaison

#endif  // COUNTERSIGN_SERVICES_LIAISON_CLIENTS_PACKAGE_STORE_CLIENT_H_
