#include "services/inventory/api/inventory_api.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/feed/watch.h"
#include "common/rpc/mutation.h"
#include "common/rpc/status_grpc.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/api/callers.h"
#include "services/inventory/api/convert.h"
#include "services/inventory/api/fleet_importer.h"
#include "services/inventory/api/roles.h"
#include "services/inventory/domain/manifest.h"
#include "services/inventory/domain/names.h"
#include "services/inventory/domain/provisioning.h"

namespace countersign::inventory {
namespace {

// Manifests that wait for their signatures to be verified; more are refused.
constexpr int kMaxQueuedVerifications = 1000;
// On average, for those who are turned away.
constexpr absl::Duration kRetryDelay = absl::Seconds(2);
// How long CreateDevice waits for the App-ID registry.
constexpr absl::Duration kRegistryTimeout = absl::Seconds(10);

}  // namespace

// A manifest whose own signature is good, and what its reports are checked against.
struct InventoryApi::Readied {
  trust::GatewayManifest manifest;
  std::shared_ptr<const domain::GatewayKeys> keys;
  std::set<std::string, std::less<>> elsewhere;
};

InventoryApi::InventoryApi(const Parts& parts)
    : parts_(parts),
      queries_(parts.queries, parts.clock),
      import_(parts.database),
      accepted_(parts.registry
                    .AddCounter("countersign_inventory_reports_total",
                                "Component reports by what became of them.", {"outcome"})
                    .With({"accepted"})),
      turned_away_(parts.registry
                       .AddCounter("countersign_inventory_manifests_turned_away_total",
                                   "Manifests that there was no room for, to be sent again.", {})
                       .With({})),
      verify_pool_(parts.verify_threads, kMaxQueuedVerifications) {
  const metrics::CounterFamily reports = parts_.registry.AddCounter(
      "countersign_inventory_reports_total", "Component reports by what became of them.", {"outcome"});
  for (absl::string_view reason : domain::kRefusalReasons) {
    refused_.emplace(std::string(reason), reports.With({absl::AsciiStrToLower(reason)}));
  }
}

std::unique_ptr<rpc::Service> InventoryApi::Bind() {
  auto service = std::make_unique<rpc::Service>(InventoryRoles());
  service->Unary("CreateGateway", this, &InventoryApi::CreateGateway);
  service->Unary("GetGateway", this, &InventoryApi::GetGateway);
  service->Unary("CreateDevice", this, &InventoryApi::CreateDevice);
  service->Unary("GetDevice", this, &InventoryApi::GetDevice);
  service->Unary("CreateChallenge", this, &InventoryApi::CreateChallenge);
  service->AsyncUnary("SubmitManifest", this, &InventoryApi::SubmitManifest);
  service->ServerStream("WatchComponents", this, &InventoryApi::WatchComponents);
  service->ClientStream("ImportFleet", this, &InventoryApi::ImportFleet);
  queries_.BindTo(*service);
  parts_.fleet.Bind(*service);
  return service;
}

absl::Status InventoryApi::CreateGateway(const rpc::Call& call, const v1::CreateGatewayRequest& request,
                                         v1::Gateway* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(const domain::Gateway gateway, FromProto(request.gateway(), parts_.clock.Now()));
  RETURN_IF_ERROR(domain::CheckGateway(gateway));
  ASSIGN_OR_RETURN(
      const std::string bytes,
      parts_.store.CreateGateway(MutationOf(call, request), gateway, [](const domain::Gateway& created) {
        return ToProto(created).SerializeAsString();
      }));
  return ParseStored(bytes, response);
}

absl::Status InventoryApi::GetGateway(const rpc::Call& call, const v1::GetGatewayRequest& request,
                                      v1::Gateway* response) {
  ASSIGN_OR_RETURN(const std::string id, domain::ParseGatewayName(request.name()));
  RETURN_IF_ERROR(CheckOwnGateway(call, id));
  ASSIGN_OR_RETURN(const domain::Gateway gateway, parts_.store.GetGateway(id));
  *response = ToProto(gateway);
  return absl::OkStatus();
}

absl::Status InventoryApi::CreateDevice(const rpc::Call& call, const v1::CreateDeviceRequest& request,
                                        v1::Device* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(domain::Device device, FromProto(request.device(), parts_.clock.Now()));
  RETURN_IF_ERROR(CheckOwnDevice(call, device.manufacturer));
  RETURN_IF_ERROR(domain::CheckDevice(device));
  if (!device.app_id.empty()) {
    ASSIGN_OR_RETURN(AppIdRegistryClient::Verdict verdict,
                     parts_.app_id_registry.Verify(
                         device.app_id, std::min(call.deadline(), SystemClock().Now() + kRegistryTimeout)));
    device.app_id_status = verdict.status;
    device.app_id_findings = std::move(verdict.findings);
  }
  ASSIGN_OR_RETURN(
      const std::string bytes,
      parts_.store.CreateDevice(
          MutationOf(call, request), device,
          [](const domain::Device& created) { return ToProto(created).SerializeAsString(); },
          [](const domain::Component& component) { return ToProto(component).SerializeAsString(); }));
  parts_.tail.Nudge();
  return ParseStored(bytes, response);
}

absl::Status InventoryApi::GetDevice(const rpc::Call& call, const v1::GetDeviceRequest& request,
                                     v1::Device* response) {
  ASSIGN_OR_RETURN(const domain::DeviceName name, domain::ParseDeviceName(request.name()));
  RETURN_IF_ERROR(CheckOwnGateway(call, name.gateway_id));
  ASSIGN_OR_RETURN(const domain::Device device,
                   parts_.store.GetDevice(name.gateway_id, name.device_id, VisibilityOf(call)));
  *response = ToProto(device);
  return absl::OkStatus();
}

absl::Status InventoryApi::CreateChallenge(const rpc::Call& call, const v1::CreateChallengeRequest&,
                                           v1::CreateChallengeResponse* response) {
  // Whoever asks is provisioned, and will need its keys next.
  RETURN_IF_ERROR(parts_.keys.Get(call.identity().id).status());
  const absl::Time now = parts_.clock.Now();
  response->set_nonce(parts_.challenges.Make(call.identity().id, now));
  *response->mutable_expire_time() = ToProto(parts_.challenges.ExpireTime(now));
  return absl::OkStatus();
}

// On the executor: what may wait for the database.
absl::StatusOr<InventoryApi::Readied> InventoryApi::ReadyManifest(const rpc::Call& call,
                                                                  const v1::SubmitManifestRequest& request) {
  ASSIGN_OR_RETURN(const trust::Envelope envelope, domain::ReadManifest(request.manifest()));
  Readied readied;
  ASSIGN_OR_RETURN(readied.keys, parts_.keys.Get(call.identity().id));
  ASSIGN_OR_RETURN(readied.manifest, domain::CheckManifest(envelope, *readied.keys));
  RETURN_IF_ERROR(parts_.challenges.Check(call.identity().id, readied.manifest.nonce, parts_.clock.Now()));
  std::vector<std::string> unknown = domain::UnknownSerials(readied.manifest, *readied.keys);
  if (unknown.empty()) return readied;
  ASSIGN_OR_RETURN(const auto gateways, parts_.store.FindGateways(unknown));
  bool outdated = false;
  for (const auto& [serial, gateway_id] : gateways) {
    if (gateway_id == call.identity().id) {
      outdated = true;  // provisioned since the keys were read
    } else {
      readied.elsewhere.insert(serial);
    }
  }
  if (outdated) {
    ASSIGN_OR_RETURN(readied.keys, parts_.keys.Reload(call.identity().id));
  }
  return readied;
}

// So that those who were turned away together do not come again together.
absl::Status InventoryApi::NoRoom(absl::Status status) const {
  turned_away_.Increment();
  return rpc::WithRetryDelay(std::move(status), kRetryDelay * (0.5 + parts_.random()));
}

void InventoryApi::SubmitManifest(const rpc::Call& call, const v1::SubmitManifestRequest& request,
                                  v1::SubmitManifestResponse* response, rpc::Done done) {
  // What is parsed weighs several times its bytes: without a bound a burst would take all memory.
  const auto bytes = static_cast<int64_t>(request.manifest().size());
  if (ingest_bytes_.fetch_add(bytes) + bytes > parts_.max_ingest_bytes && bytes <= parts_.max_ingest_bytes) {
    ingest_bytes_.fetch_sub(bytes);
    return done(
        NoRoom(Error(absl::StatusCode::kResourceExhausted, "INGEST_FULL",
                     "More manifests have come than this replica takes at once; send it again after the "
                     "delay, with the same challenge.")));
  }
  // Called once. Who is answered finds the room free again.
  const auto answer = [this, bytes, done](absl::Status status) {
    ingest_bytes_.fetch_sub(bytes);
    done(absl::IsResourceExhausted(status) ? NoRoom(std::move(status)) : std::move(status));
  };
  absl::StatusOr<Readied> readied = ReadyManifest(call, request);
  if (!readied.ok()) return answer(readied.status());
  auto work = std::make_shared<Readied>(*std::move(readied));
  const absl::Status queued = verify_pool_.TrySubmit([this, work, response, answer] {
    domain::CheckedManifest checked = domain::CheckReports(
        std::move(work->manifest), *work->keys,
        [&](absl::string_view serial) { return work->elsewhere.contains(std::string(serial)); });
    parts_.writer.Submit(std::move(checked), parts_.clock.Now(),
                         [this, response, answer](absl::StatusOr<std::vector<ReportOutcome>> outcomes) {
                           if (!outcomes.ok()) return answer(outcomes.status());
                           for (const ReportOutcome& outcome : *outcomes) {
                             CountOutcome(outcome);
                             *response->add_results() = ToProto(outcome);
                           }
                           *response->mutable_next_report_delay() =
                               ToProto(domain::NextReportDelay(parts_.report_interval, parts_.random()));
                           answer(absl::OkStatus());
                         });
  });
  if (!queued.ok()) answer(queued);
}

void InventoryApi::CountOutcome(const ReportOutcome& outcome) const {
  if (!outcome.refusal.has_value()) return accepted_.Increment();
  if (const auto counter = refused_.find(outcome.refusal->reason); counter != refused_.end()) {
    counter->second.Increment();
  }
}

absl::StatusOr<std::unique_ptr<rpc::Consumer<v1::ImportFleetRequest, v1::ImportFleetResponse>>>
InventoryApi::ImportFleet(const rpc::Call&) {
  return NewFleetImport({.import = import_,
                         .clock = parts_.clock,
                         .ask_registry = [this](domain::Device& device) -> absl::Status {
                           ASSIGN_OR_RETURN(AppIdRegistryClient::Verdict verdict,
                                            parts_.app_id_registry.Verify(
                                                device.app_id, SystemClock().Now() + kRegistryTimeout));
                           device.app_id_status = verdict.status;
                           device.app_id_findings = std::move(verdict.findings);
                           return absl::OkStatus();
                         },
                         .on_change = [this] { parts_.tail.Nudge(); }});
}

absl::StatusOr<std::unique_ptr<rpc::Producer<v1::WatchComponentsResponse>>> InventoryApi::WatchComponents(
    const rpc::Call&, const v1::WatchComponentsRequest& request, rpc::Waker waker) {
  using Changes = feed::Watch<v1::WatchComponentsResponse>;
  return std::make_unique<Changes>(
      parts_.database, parts_.tail, request.resume_token(), std::move(waker),
      [](feed::Event& event, v1::WatchComponentsResponse* response) -> absl::StatusOr<bool> {
        if (!response->mutable_component()->ParseFromString(event.payload)) {
          return absl::InternalError(absl::StrCat("the outbox event of ", event.key, " is no component"));
        }
        response->set_resume_token(std::move(event.token));
        *response->mutable_change_time() = ToProto(event.created_at);
        return true;
      });
}

}  // namespace countersign::inventory
