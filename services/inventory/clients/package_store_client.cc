#include "services/inventory/clients/package_store_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "common/feed/pump.h"
#include "common/rpc/status_grpc.h"
#include "common/status/macros.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"

namespace countersign::inventory {
namespace {

using package_store::v1::Package;
using package_store::v1::PackageStoreService;

constexpr absl::Duration kListTimeout = absl::Seconds(20);
constexpr int kMaxMessage = 16 << 20;  // a page of packages, with their statements

// One that was withdrawn is still what both parties made: it is not installed any more, and whoever runs it
// runs what was published.
Publication FromProto(const Package& package) {
  Publication publication;
  publication.target_path = package.target_path();
  publication.manufacturer = package.manufacturer();
  publication.version = package.version();
  publication.sha256 = package.sha256();
  publication.hardware_ids.assign(package.hardware_ids().begin(), package.hardware_ids().end());
  publication.revoked = package.state() == Package::STATE_REVOKED;
  return publication;
}

}  // namespace

struct PackageStoreClient::State {
  std::unique_ptr<PackageStoreService::Stub> stub;
};

PackageStoreClient::PackageStoreClient(const rpc::Dialer& dialer, absl::string_view address)
    : state_(new State{PackageStoreService::NewStub(dialer.Dial(
          address, {rpc::Role::kService, "package-store"}, {.max_message_bytes = kMaxMessage}))}) {}

PackageStoreClient::~PackageStoreClient() = default;

absl::Status PackageStoreClient::Watch(const std::string& token, const feed::Follower::Sink& sink,
                                       std::stop_token stop) {
  package_store::v1::WatchPackagesRequest request;
  request.set_resume_token(token);
  rpc::CallContext context(absl::InfiniteFuture());
  const auto reader = state_->stub->WatchPackages(context.get(), request);
  return feed::PumpWatch<package_store::v1::WatchPackagesResponse>(
      *context.get(), *reader,
      [](const package_store::v1::WatchPackagesResponse& response) {
        const Package& package = response.package();
        const auto& time = package.has_end_time() ? package.end_time() : package.approve_time();
        feed::Event event;
        event.token = response.resume_token();
        event.kind = "package";
        event.key = package.target_path();
        event.payload = package.SerializeAsString();
        event.created_at = absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
        return event;
      },
      sink, stop);
}

absl::StatusOr<Publication> PackageStoreClient::PublicationOf(const feed::Event& event) {
  Package package;
  if (!package.ParseFromString(event.payload)) return absl::InternalError("not a package");
  return FromProto(package);
}

absl::Status PackageStoreClient::ListAll(const Take& take, std::stop_token stop) {
  package_store::v1::ListPackagesRequest request;
  request.set_parent("manufacturers/-");
  request.set_include_revoked(true);
  do {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    package_store::v1::ListPackagesResponse page;
    rpc::CallContext context(kListTimeout);
    RETURN_IF_ERROR(rpc::FromGrpc(state_->stub->ListPackages(context.get(), request, &page)));
    std::vector<Publication> publications;
    for (const Package& package : page.packages()) publications.push_back(FromProto(package));
    RETURN_IF_ERROR(take(publications));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

}  // namespace countersign::inventory
