#include "tools/fleet/provision.h"

#include <grpcpp/grpcpp.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/rpc/channel.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "tools/fleet/identity.h"

namespace countersign::fleet {
namespace {

namespace v1 = ::countersign::inventory::v1;
using v1::InventoryService;

constexpr absl::Duration kCallTimeout = absl::Seconds(30);
constexpr absl::Duration kLongestWait = absl::Seconds(5);
constexpr int kAttempts = 10;

// A UUID that is the same for the same gateway or device, so that what was done is not done twice.
std::string RequestId(absl::string_view seed, absl::string_view name) {
  std::string digest = crypto::Sha256(absl::StrCat("request\n", seed, "\n", name)).substr(0, 16);
  digest[6] = static_cast<char>((digest[6] & 0x0f) | 0x40);
  digest[8] = static_cast<char>((digest[8] & 0x3f) | 0x80);
  const std::string hex = crypto::HexEncode(digest);
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-", hex.substr(16, 4),
                      "-", hex.substr(20));
}

// A server that has too much to do is asked again.
template <typename Request, typename Response>
absl::Status Call(InventoryService::Stub& stub,
                  grpc::Status (InventoryService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                 Response*),
                  const Request& request, Response& response) {
  absl::Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    rpc::CallContext context(kCallTimeout);
    status = rpc::FromGrpc((stub.*method)(context.get(), request, &response));
    if (!absl::IsResourceExhausted(status) && !absl::IsUnavailable(status)) break;
    absl::SleepFor(std::min(kLongestWait, rpc::RetryDelayOf(status).value_or(absl::Seconds(1))));
  }
  return status;
}

absl::Status ProvisionGateway(const GatewayPlan& plan, const std::vector<Product>& products,
                              const ProvisionOptions& options, InventoryService::Stub& stub) {
  ASSIGN_OR_RETURN(const GatewayKeys keys,
                   DeriveKeys(plan, options.key_type, options.seed, /*forged=*/false));
  const std::string name = absl::StrCat("gateways/", plan.id);
  v1::CreateGatewayRequest request;
  request.set_request_id(RequestId(options.seed, name));
  v1::Gateway& gateway = *request.mutable_gateway();
  gateway.set_name(name);
  gateway.set_kind(plan.index % 2 == 0 ? v1::Gateway::KIND_HOME : v1::Gateway::KIND_VEHICLE);
  gateway.set_public_key_pem(keys.manifest.public_key().Pem());
  gateway.set_proxy_public_key_pem(keys.proxy.public_key().Pem());
  v1::Gateway known;
  absl::Status status = Call(stub, &InventoryService::Stub::CreateGateway, request, known);
  if (absl::IsAlreadyExists(status)) {
    v1::GetGatewayRequest get;
    get.set_name(name);
    RETURN_IF_ERROR(Call(stub, &InventoryService::Stub::GetGateway, get, known));
    if (known.public_key_pem() != gateway.public_key_pem()) {
      return Error(absl::StatusCode::kFailedPrecondition, "OTHER_FLEET",
                   absl::StrCat(name,
                                " is there with another key: give another --prefix, or the --seed and "
                                "--key-type that it was made with"));
    }
    status = absl::OkStatus();
  }
  RETURN_IF_ERROR(status);
  for (size_t i = 0; i < plan.components.size(); ++i) {
    const Product& product = products[plan.components[i].product];
    v1::CreateDeviceRequest create;
    v1::Device& device = *create.mutable_device();
    device.set_name(absl::StrCat(name, "/devices/d", i));
    create.set_request_id(RequestId(options.seed, device.name()));
    device.set_manufacturer(product.manufacturer);
    device.set_model(product.model);
    device.set_hardware_version("1");
    v1::Component& component = *device.add_components();
    component.set_ecu_serial(plan.components[i].serial);
    component.set_hardware_id(product.hardware_id);
    component.set_constrained(product.constrained);
    if (!product.constrained) component.set_public_key_pem(keys.components[i].public_key().Pem());
    v1::Device created;
    status = Call(stub, &InventoryService::Stub::CreateDevice, create, created);
    if (!status.ok() && !absl::IsAlreadyExists(status)) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Provision(const std::vector<GatewayPlan>& plan, const std::vector<Product>& products,
                       const ProvisionOptions& options, const std::shared_ptr<grpc::Channel>& inventory,
                       std::atomic<int>& done, const std::atomic<bool>& stop) {
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  absl::Mutex mutex;
  absl::Status result;
  std::vector<std::thread> threads;
  for (int i = 0; i < options.at_once; ++i) {
    threads.emplace_back([&] {
      const auto stub = InventoryService::NewStub(inventory);
      while (!failed && !stop) {
        const size_t mine = next++;
        if (mine >= plan.size()) return;
        const absl::Status status = ProvisionGateway(plan[mine], products, options, *stub);
        if (status.ok()) {
          ++done;
          continue;
        }
        failed = true;
        absl::MutexLock lock(&mutex);
        result.Update(Annotate(status, plan[mine].id));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  RETURN_IF_ERROR(result);
  if (stop && done < static_cast<int>(plan.size()))
    return absl::CancelledError("interrupted; call it again to go on");
  return absl::OkStatus();
}

}  // namespace countersign::fleet
