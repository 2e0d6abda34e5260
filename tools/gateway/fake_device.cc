#include "tools/gateway/fake_device.h"

#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/trust/report.h"

namespace countersign::gateway {

namespace v1 = countersign::device::v1;

FakeDevice::FakeDevice(const std::string& lan, const std::string& id,
                       std::map<std::string, FakeComponent> components)
    : id_(id), components_(std::move(components)) {
  server_ =
      grpc::ServerBuilder()
          .AddListeningPort(absl::StrCat("unix:", lan, "/", id, ".sock"), grpc::InsecureServerCredentials())
          .RegisterService(this)
          .SetMaxReceiveMessageSize(16 << 20)
          .BuildAndStart();
  if (server_ == nullptr) std::abort();
}

FakeDevice::~FakeDevice() { server_->Shutdown(); }

void FakeDevice::With(const std::function<void(std::map<std::string, FakeComponent>&)>& body) {
  absl::MutexLock lock(&mutex_);
  body(components_);
}

FakeComponent FakeDevice::Get(const std::string& serial) {
  absl::MutexLock lock(&mutex_);
  return components_.at(serial);
}

grpc::Status FakeDevice::GetDescription(grpc::ServerContext*, const v1::GetDescriptionRequest*,
                                        v1::GetDescriptionResponse* response) {
  absl::MutexLock lock(&mutex_);
  response->set_device_id(called.empty() ? id_ : called);
  for (const auto& [serial, component] : components_) {
    v1::ComponentDescription& described = *response->add_components();
    described.set_ecu_serial(serial);
    described.set_hardware_id(component.hardware_id);
    described.set_constrained(component.key == nullptr);
    if (component.key != nullptr) described.set_public_key_pem(component.key->public_key().Pem());
    described.set_last_update(component.last_update);
    described.set_last_update_sha256(component.last_update_sha256);
    described.set_provisional(component.provisional);
    described.set_quarantined(component.quarantined);
  }
  return grpc::Status::OK;
}

grpc::Status FakeDevice::GetVersionReports(grpc::ServerContext*, const v1::GetVersionReportsRequest* request,
                                           v1::GetVersionReportsResponse* response) {
  absl::MutexLock lock(&mutex_);
  for (const std::string& report : raw_reports) response->add_reports(report);
  if (!raw_reports.empty()) return grpc::Status::OK;
  for (auto& [serial, component] : components_) {
    trust::VersionReport report;
    report.ecu_serial = serial;
    report.hardware_id = component.hardware_id;
    report.manufacturer = "acme";
    report.model = "T1";
    report.filepath = component.path;
    report.length = static_cast<int64_t>(component.content.size());
    report.sha256 = crypto::Sha256Hex(component.content);
    report.version = component.version;
    report.release_counter = component.release_counter;
    report.report_counter = ++component.report_counter;
    report.nonce = request->nonce();
    report.proxied = component.key == nullptr;
    trust::Envelope envelope = report.ToEnvelope();
    if (component.key != nullptr && !envelope.Sign(*component.key).ok()) std::abort();
    response->add_reports(envelope.Serialise());
  }
  return grpc::Status::OK;
}

grpc::Status FakeDevice::InstallImage(grpc::ServerContext*,
                                      grpc::ServerReader<v1::InstallImageRequest>* reader,
                                      v1::InstallImageResponse* response) {
  v1::InstallImageRequest request;
  if (!reader->Read(&request) || !request.has_header())
    return {grpc::StatusCode::INVALID_ARGUMENT, "no header"};
  const v1::InstallHeader header = request.header();
  std::string image;
  while (reader->Read(&request)) image += request.data();
  absl::MutexLock lock(&mutex_);
  FakeComponent& component = components_.at(header.ecu_serial());
  ++component.transfers;
  component.header = header;
  if (component.refusal != common::v1::FAILURE_REASON_UNSPECIFIED) {
    response->set_failure_reason(component.refusal);
    response->set_failure_detail("not with me");
    return grpc::Status::OK;
  }
  component.inactive = image;
  response->set_installed(true);
  if (component.asks_user) {
    response->set_confirmation_required(true);
    response->set_approval_result(v1::APPROVAL_RESULT_NO_STATEMENT);
  }
  return grpc::Status::OK;
}

grpc::Status FakeDevice::ActivateImage(grpc::ServerContext*, const v1::ActivateImageRequest* request,
                                       v1::ActivateImageResponse*) {
  absl::MutexLock lock(&mutex_);
  FakeComponent& component = components_.at(request->ecu_serial());
  if (crypto::Sha256Hex(component.inactive) != request->sha256()) {
    return {grpc::StatusCode::FAILED_PRECONDITION, "nothing is installed"};
  }
  ++component.activations;
  component.last_update_sha256 = request->sha256();
  component.bundle = request->bundle();
  if (component.boots_badly) {
    component.last_update = common::v1::UPDATE_PHASE_ROLLED_BACK;
  } else {
    component.last_update = common::v1::UPDATE_PHASE_VERIFYING;
    std::swap(component.content, component.inactive);
    component.path = component.header.image().target_path();
    ++component.release_counter;
    component.provisional = !request->bundle().empty();
  }
  if (component.loses_answers) return {grpc::StatusCode::UNAVAILABLE, "gone down"};
  return grpc::Status::OK;
}

grpc::Status FakeDevice::ConfirmImage(grpc::ServerContext*, const v1::ConfirmImageRequest* request,
                                      v1::ConfirmImageResponse*) {
  absl::MutexLock lock(&mutex_);
  FakeComponent& component = components_.at(request->ecu_serial());
  component.confirmed = request->confirm();
  component.confirmed_by = request->principal_id();
  if (!request->confirm()) component.inactive.clear();
  return grpc::Status::OK;
}

grpc::Status FakeDevice::CommitImage(grpc::ServerContext*, const v1::CommitImageRequest* request,
                                     v1::CommitImageResponse*) {
  absl::MutexLock lock(&mutex_);
  FakeComponent& component = components_.at(request->ecu_serial());
  ++component.commits;
  component.provisional = false;
  return grpc::Status::OK;
}

grpc::Status FakeDevice::RevertImage(grpc::ServerContext*, const v1::RevertImageRequest* request,
                                     v1::RevertImageResponse*) {
  absl::MutexLock lock(&mutex_);
  FakeComponent& component = components_.at(request->ecu_serial());
  if (!component.provisional) return {grpc::StatusCode::FAILED_PRECONDITION, "not provisional"};
  ++component.reverts;
  component.provisional = false;
  component.last_update = common::v1::UPDATE_PHASE_ROLLED_BACK;
  std::swap(component.content, component.inactive);
  --component.release_counter;
  return grpc::Status::OK;
}

grpc::Status FakeDevice::GetReadings(grpc::ServerContext*, const v1::GetReadingsRequest*,
                                     v1::GetReadingsResponse* response) {
  absl::MutexLock lock(&mutex_);
  if (!components_.empty()) *response = components_.begin()->second.readings;
  return grpc::Status::OK;
}

grpc::Status FakeDevice::ApplyOrders(grpc::ServerContext*, const v1::ApplyOrdersRequest* request,
                                     v1::ApplyOrdersResponse* response) {
  absl::MutexLock lock(&mutex_);
  std::string all;  // the files; whoever wants to know verifies them
  for (const auto& file : request->director_metadata()) all += file.content();
  const size_t at = all.find("\"quarantine\"");
  for (auto& [serial, component] : components_) {
    if (component.obeys) {
      component.quarantined =
          at != std::string::npos && all.find("\"" + serial + "\"", at) != std::string::npos;
    }
    if (component.quarantined) response->add_quarantined(serial);
  }
  return grpc::Status::OK;
}

}  // namespace countersign::gateway
