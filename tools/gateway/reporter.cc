#include "tools/gateway/reporter.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/crypto/random.h"
#include "common/log/log.h"
#include "common/rpc/channel.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/canonical_json.h"
#include "common/trust/report.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"

namespace countersign::gateway {
namespace {

namespace v1 = countersign::inventory::v1;
using v1::InventoryService;

constexpr absl::Duration kCallTimeout = absl::Seconds(20);
// In one report: strangers on the home's network must not keep it waiting.
constexpr int kMaxAnnouncements = 8;
// Of all devices together that were never reported before.
constexpr absl::Duration kStrangersTime = absl::Seconds(10);
// What the inventory takes as part of a manifest: a report beyond it would have the whole manifest refused,
// and one broken device must not silence a home.
constexpr trust::JsonLimits kReportLimits = {
    .max_bytes = kMaxReportBytes, .max_depth = 12, .max_values = 120};
// Of all reports, written out: the manifest has room for its own fields and signature beside them.
constexpr size_t kMaxReportsBytes = trust::ManifestLimits().max_bytes - (16 << 10);

// One report of `device`, ready for the manifest.
absl::StatusOr<trust::Envelope> TakeReport(const device::v1::GetDescriptionResponse& device,
                                           absl::string_view bytes, absl::string_view nonce,
                                           const crypto::Signer* proxy, trust::VersionReport& report) {
  ASSIGN_OR_RETURN(trust::Envelope envelope, trust::Envelope::Parse(bytes, kReportLimits));
  ASSIGN_OR_RETURN(report, trust::VersionReport::Parse(envelope));
  const device::v1::ComponentDescription* described = nullptr;
  for (const device::v1::ComponentDescription& component : device.components()) {
    if (component.ecu_serial() == report.ecu_serial) described = &component;
  }
  if (described == nullptr) {
    return Error(absl::StatusCode::kInvalidArgument, "DEVICE_NONSENSE",
                 absl::StrCat("reports for ", report.ecu_serial, ", which it does not describe"));
  }
  if (!described->constrained()) return envelope;
  if (!report.proxied || !envelope.signatures().empty() || report.nonce != nonce) {
    return Error(absl::StatusCode::kInvalidArgument, "DEVICE_NONSENSE",
                 absl::StrCat("a report of constrained component ", report.ecu_serial,
                              " must be unsigned, marked as proxied and answer this nonce"));
  }
  if (proxy == nullptr) {
    return Error(absl::StatusCode::kFailedPrecondition, "FLAG_MISSING",
                 absl::StrCat("give --proxy-key to report for constrained component ", report.ecu_serial));
  }
  RETURN_IF_ERROR(envelope.Sign(*proxy));
  return envelope;
}

// Nobody being there is no news: devices come and go.
void NoteNonsense(const Socket& socket, const absl::Status& status, Incidents& incidents) {
  log::Warn("device does not report", {{"device", socket.device_id}, {"error", status}});
  if (absl::IsUnavailable(status) || absl::IsCancelled(status)) return;
  const std::string reason = ReasonOf(status);
  incidents.Note(absl::IsDeadlineExceeded(status) ? "DEVICE_SILENT"
                 : reason.empty()                 ? "DEVICE_NONSENSE"
                                                  : absl::string_view(reason),
                 socket.device_id, "", status.message());
}

void SurveyDevice(const Socket& socket, absl::string_view nonce, const crypto::Signer* proxy, Survey& survey,
                  Incidents& incidents) {
  DeviceLink link(socket);
  const absl::StatusOr<device::v1::GetDescriptionResponse> device = link.GetDescription();
  const absl::StatusOr<std::vector<std::string>> reports =
      device.ok() ? link.GetVersionReports(nonce) : absl::StatusOr<std::vector<std::string>>(device.status());
  if (!reports.ok()) {
    NoteNonsense(socket, reports.status(), incidents);
    return;
  }
  survey.sockets.push_back(socket);
  survey.descriptions.emplace(socket.device_id, *device);
  for (const std::string& bytes : *reports) {
    trust::VersionReport report;
    absl::StatusOr<trust::Envelope> envelope = TakeReport(*device, bytes, nonce, proxy, report);
    if (!envelope.ok()) {
      log::Warn("report left out", {{"device", socket.device_id}, {"error", envelope.status()}});
      const std::string reason = ReasonOf(envelope.status());
      if (reason != "FLAG_MISSING") {
        incidents.Note(reason.empty() ? "DEVICE_NONSENSE" : absl::string_view(reason), socket.device_id,
                       report.ecu_serial, envelope.status().message());
      }
      continue;
    }
    const size_t size = envelope->Serialise().size();
    if (survey.reports.size() + survey.rivals.size() == trust::ManifestLimits().max_reports ||
        survey.reports_bytes + size > kMaxReportsBytes) {
      incidents.Note("MANIFEST_FULL", socket.device_id, report.ecu_serial, "its report is left out");
      return;
    }
    PresentComponent component = {.socket = socket,
                                  .hardware_id = report.hardware_id,
                                  .release_counter = report.release_counter,
                                  .sha256 = report.sha256,
                                  .version = report.version};
    for (const device::v1::ComponentDescription& described : device->components()) {
      if (described.ecu_serial() != report.ecu_serial) continue;
      component.constrained = described.constrained();
      component.quarantined = described.quarantined();
      component.provisional = described.provisional();
    }
    survey.reports_bytes += size + 1;
    component.report = survey.reports.size();
    if (!survey.components.emplace(report.ecu_serial, component).second) {
      log::Warn("component claimed twice", {{"device", socket.device_id}, {"ecu_serial", report.ecu_serial}});
      survey.rivals.emplace(report.ecu_serial, Claim{std::move(component), *std::move(envelope)});
      continue;
    }
    survey.reports.push_back(*std::move(envelope));
    log::Info("discovered", {{"device", socket.device_id},
                             {"ecu_serial", report.ecu_serial},
                             {"version", report.version},
                             {"sha256", report.sha256},
                             {"proxied", component.constrained}});
  }
}

}  // namespace

Survey SurveyDevices(const std::vector<Socket>& sockets, const std::set<std::string>& known,
                     absl::string_view nonce, const crypto::Signer* proxy, Incidents& incidents) {
  Survey survey;
  std::vector<Socket> strangers;
  for (const Socket& socket : sockets) {
    if (known.contains(socket.device_id)) {
      SurveyDevice(socket, nonce, proxy, survey, incidents);
    } else {
      strangers.push_back(socket);
    }
  }
  // Not always the same ones: a real device must have its turn among many that are none.
  absl::BitGen generator;
  std::shuffle(strangers.begin(), strangers.end(), generator);
  const absl::Time enough = SystemClock().Now() + kStrangersTime;
  for (const Socket& socket : strangers) {
    if (SystemClock().Now() > enough) {
      incidents.Note(
          "TOO_MANY_STRANGERS", "", "",
          absl::StrCat(strangers.size(), " devices that were never reported before answer slowly"));
      break;
    }
    SurveyDevice(socket, nonce, proxy, survey, incidents);
  }
  return survey;
}

void Settle(const std::map<std::string, crypto::PublicKey>& keys, Survey& survey, Incidents& incidents) {
  for (auto& [serial, claim] : survey.rivals) {
    const auto key = keys.find(serial);
    PresentComponent& holder = survey.components.at(serial);
    const bool holder_proves = key != keys.end() && survey.reports[holder.report].VerifyBy(key->second).ok();
    const bool rival_proves = key != keys.end() && claim.report.VerifyBy(key->second).ok();
    std::string loser = claim.component.socket.device_id;
    if (!holder_proves && rival_proves) {
      loser = holder.socket.device_id;
      claim.component.report = holder.report;
      survey.reports[holder.report] = std::move(claim.report);
      holder = std::move(claim.component);
    }
    incidents.Note("COMPONENT_CLAIMED_TWICE", loser, serial,
                   absl::StrCat("counts as device ", holder.socket.device_id, "'s"));
  }
  survey.rivals.clear();
}

absl::StatusOr<std::string> PackManifest(const Survey& survey, const std::vector<trust::Incident>& incidents,
                                         absl::string_view gateway_id, absl::string_view nonce,
                                         int64_t counter, absl::Time now, const crypto::Signer& signer) {
  trust::GatewayManifest manifest;
  manifest.gateway_id = std::string(gateway_id);
  manifest.nonce = std::string(nonce);
  manifest.manifest_counter = counter;
  manifest.time = now;
  manifest.incidents = incidents;
  std::set<size_t> provisional;
  for (const auto& [serial, component] : survey.components) {
    if (component.provisional) provisional.insert(component.report);
  }
  for (size_t i = 0; i < survey.reports.size(); ++i) {
    if (!provisional.contains(i)) manifest.reports.push_back(survey.reports[i]);
  }
  trust::Envelope envelope = manifest.ToEnvelope();
  RETURN_IF_ERROR(envelope.Sign(signer));
  return envelope.Serialise();
}

std::set<std::string> Reporter::KnownDevices() const {
  std::set<std::string> known;
  for (const auto& [serial, component] : state_.components()) known.insert(component.device_id);
  return known;
}

Survey Reporter::SurveyAlone(const std::vector<Socket>& sockets) {
  // The reports go nowhere, so that whoever reads them learns nothing that could be used again.
  return SurveyDevices(sockets, KnownDevices(), absl::StrCat("alone-", crypto::RandomHex(16)), keys_.proxy,
                       incidents_);
}

v1::Device AnnouncementOf(absl::string_view gateway_id, absl::string_view device_id,
                          const device::v1::GetDescriptionResponse& description) {
  v1::Device device;
  device.set_name(absl::StrCat("gateways/", gateway_id, "/devices/", device_id));
  device.set_manufacturer(description.manufacturer());
  device.set_model(description.model());
  device.set_hardware_version(description.hardware_version());
  device.set_app_id(description.app_id());
  for (const device::v1::ComponentDescription& described : description.components()) {
    v1::Component& component = *device.add_components();
    component.set_ecu_serial(described.ecu_serial());
    component.set_hardware_id(described.hardware_id());
    component.set_public_key_pem(described.public_key_pem());
    component.set_constrained(described.constrained());
  }
  return device;
}

absl::StatusOr<ReportOutcome> Reporter::Report(const std::vector<Socket>& sockets) {
  rpc::CallContext context(kCallTimeout);
  v1::CreateChallengeResponse challenge;
  const absl::Status challenged =
      rpc::FromGrpc(InventoryService::NewStub(inventory_)
                        ->CreateChallenge(context.get(), v1::CreateChallengeRequest(), &challenge));
  incidents_.NoteIfForged("inventory", challenged);
  RETURN_IF_ERROR(challenged);
  ReportOutcome outcome;
  outcome.survey = SurveyDevices(sockets, KnownDevices(), challenge.nonce(), keys_.proxy, incidents_);
  if (!outcome.survey.rivals.empty()) {
    ASSIGN_OR_RETURN(const auto keys, RegisteredKeys());
    Settle(keys, outcome.survey, incidents_);
  }
  const std::vector<trust::Incident> incidents = incidents_.pending();
  absl::StatusOr<v1::SubmitManifestResponse> response =
      Submit(outcome.survey, incidents, challenge.nonce(), 1);
  if (ReasonOf(response.status()) == "COUNTER_REPLAYED") {
    ASSIGN_OR_RETURN(const int64_t last, LastCounter());
    log::Warn("the inventory has seen a higher manifest counter: going on from there", {{"counter", last}});
    response = Submit(outcome.survey, incidents, challenge.nonce(), last + 1);
  }
  RETURN_IF_ERROR(response.status());
  incidents_.Reported(incidents);
  outcome.response = *std::move(response);
  int accepted = 0;
  for (const v1::ComponentResult& result : outcome.response.results()) {
    if (result.accepted()) {
      ++accepted;
      continue;
    }
    log::Warn(
        "report refused",
        {{"ecu_serial", result.ecu_serial()}, {"reason", result.reason()}, {"detail", result.message()}});
  }
  log::Info("reported", {{"devices", outcome.survey.sockets.size()},
                         {"accepted", accepted},
                         {"refused", outcome.response.results_size() - accepted}});
  RETURN_IF_ERROR(Remember(outcome));
  Announce(outcome);
  return outcome;
}

absl::StatusOr<v1::SubmitManifestResponse> Reporter::Submit(const Survey& survey,
                                                            const std::vector<trust::Incident>& incidents,
                                                            absl::string_view nonce,
                                                            int64_t minimum_counter) {
  ASSIGN_OR_RETURN(const int64_t counter, state_.NextManifestCounter(minimum_counter));
  v1::SubmitManifestRequest request;
  ASSIGN_OR_RETURN(*request.mutable_manifest(), PackManifest(survey, incidents, gateway_id_, nonce, counter,
                                                             state_.time().Now(), *keys_.manifest));
  rpc::CallContext context(kCallTimeout);
  v1::SubmitManifestResponse response;
  RETURN_IF_ERROR(rpc::FromGrpc(
      InventoryService::NewStub(inventory_)->SubmitManifest(context.get(), request, &response)));
  return response;
}

absl::StatusOr<int64_t> Reporter::LastCounter() {
  rpc::CallContext context(kCallTimeout);
  v1::GetGatewayRequest request;
  request.set_name(absl::StrCat("gateways/", gateway_id_));
  v1::Gateway gateway;
  RETURN_IF_ERROR(
      rpc::FromGrpc(InventoryService::NewStub(inventory_)->GetGateway(context.get(), request, &gateway)));
  return gateway.last_manifest_counter();
}

absl::StatusOr<std::map<std::string, crypto::PublicKey>> Reporter::RegisteredKeys() {
  std::map<std::string, crypto::PublicKey> keys;
  v1::ListDevicesRequest request;
  request.set_parent(absl::StrCat("gateways/", gateway_id_));
  do {
    rpc::CallContext context(kCallTimeout);
    v1::ListDevicesResponse page;
    RETURN_IF_ERROR(
        rpc::FromGrpc(InventoryService::NewStub(inventory_)->ListDevices(context.get(), request, &page)));
    for (const v1::Device& device : page.devices()) {
      for (const v1::Component& component : device.components()) {
        absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromPem(component.public_key_pem());
        if (!component.constrained() && key.ok()) keys.emplace(component.ecu_serial(), *std::move(key));
      }
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return keys;
}

void Reporter::Announce(const ReportOutcome& outcome) {
  int told = 0;
  for (const v1::ComponentResult& result : outcome.response.results()) {
    const auto component = outcome.survey.components.find(result.ecu_serial());
    if (result.reason() != "UNKNOWN_COMPONENT" || component == outcome.survey.components.end()) continue;
    const std::string& device_id = component->second.socket.device_id;
    const auto description = outcome.survey.descriptions.find(device_id);
    if (description == outcome.survey.descriptions.end() || told == kMaxAnnouncements ||
        !announced_.insert(device_id).second) {
      continue;
    }
    ++told;
    v1::AnnounceDeviceRequest request;
    *request.mutable_device() = AnnouncementOf(gateway_id_, device_id, description->second);
    rpc::CallContext context(kCallTimeout);
    v1::Device response;
    const absl::Status status = rpc::FromGrpc(
        InventoryService::NewStub(inventory_)->AnnounceDevice(context.get(), request, &response));
    if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) announced_.erase(device_id);
    log::Info("told of a device that nobody has provisioned", {{"device", device_id}, {"status", status}});
  }
}

absl::Status Reporter::Remember(const ReportOutcome& outcome) {
  std::map<std::string, KnownComponent> known = state_.components();
  for (const v1::ComponentResult& result : outcome.response.results()) {
    const auto component = outcome.survey.components.find(result.ecu_serial());
    if (!result.accepted() || component == outcome.survey.components.end()) continue;
    known[result.ecu_serial()] = {component->second.hardware_id, component->second.release_counter,
                                  component->second.sha256, component->second.socket.device_id};
  }
  return state_.SaveComponents(std::move(known));
}

}  // namespace countersign::gateway
