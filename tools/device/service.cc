#include "tools/device/service.h"

#include <grpcpp/server_context.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/rpc/status_grpc.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/update.h"
#include "tools/device/failure.h"

namespace countersign::device {
namespace {

MetadataFiles ToFiles(const google::protobuf::RepeatedPtrField<v1::MetadataFile>& files) {
  MetadataFiles result;
  for (const v1::MetadataFile& file : files) result.emplace(file.file_name(), file.content());
  return result;
}

// A transfer that gets no bytes for so long makes way for another.
constexpr absl::Duration kStandstill = absl::Seconds(10);

// How long a call waits for a transfer to end before it is refused.
constexpr absl::Duration kPatience = absl::Seconds(1);

absl::Status Malformed(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "TRANSFER_MALFORMED", what);
}

}  // namespace

grpc::Status DeviceService::GetDescription(grpc::ServerContext*, const v1::GetDescriptionRequest*,
                                           v1::GetDescriptionResponse* response) {
  absl::MutexLock lock(&mutex_);
  const inventory::v1::Device& description = device_.description();
  response->set_device_id(device_.id());
  response->set_manufacturer(description.manufacturer());
  response->set_model(description.model());
  response->set_hardware_version(description.hardware_version());
  response->set_app_id(description.app_id());
  for (const std::unique_ptr<Component>& component : device_.components()) {
    v1::ComponentDescription& described = *response->add_components();
    described.set_ecu_serial(component->ecu_serial());
    described.set_hardware_id(component->hardware_id());
    described.set_constrained(component->constrained());
    const BootState& boot = component->boot_state();
    if (boot.outcome == Outcome::kNone) continue;
    described.set_last_update_sha256(boot.trial_sha256);
    if (boot.outcome == Outcome::kConfirmed) {
      described.set_last_update(common::v1::UPDATE_PHASE_VERIFYING);
    } else {
      described.set_last_update(common::v1::UPDATE_PHASE_ROLLED_BACK);
      described.set_failure_reason(common::v1::FAILURE_REASON_UPDATE_FAILED);
    }
  }
  return grpc::Status::OK;
}

grpc::Status DeviceService::GetVersionReports(grpc::ServerContext*,
                                              const v1::GetVersionReportsRequest* request,
                                              v1::GetVersionReportsResponse* response) {
  absl::MutexLock lock(&mutex_);
  const inventory::v1::Device& description = device_.description();
  for (const std::unique_ptr<Component>& component : device_.components()) {
    const absl::StatusOr<trust::Envelope> report =
        component->Report(description.manufacturer(), description.model(), request->nonce());
    if (!report.ok()) return rpc::ToGrpc(report.status());
    response->add_reports(report->Serialise());
  }
  return grpc::Status::OK;
}

grpc::Status DeviceService::InstallImage(grpc::ServerContext* context,
                                         grpc::ServerReader<v1::InstallImageRequest>* reader,
                                         v1::InstallImageResponse* response) {
  v1::InstallImageRequest request;
  absl::Status status;
  if (!reader->Read(&request) || !request.has_header()) {
    status = Malformed("a transfer begins with its header");
  } else {
    status = BeginTransfer(context);
    // Nobody's verdict about the image.
    if (absl::IsUnavailable(status)) return rpc::ToGrpc(status);
    if (status.ok()) {
      status = Install(request.header(), *reader);
      absl::MutexLock lock(&mutex_);
      transfer_ = nullptr;
    }
  }
  response->set_installed(status.ok());
  if (!status.ok()) {
    response->set_failure_reason(FailureReasonOf(status));
    response->set_failure_detail(std::string(status.message()));
    log::Warn("refused an installation", {{"reason", ReasonOf(status)}, {"detail", status.message()}});
  }
  return grpc::Status::OK;
}

absl::Status DeviceService::WaitForTransfer() {
  if (transfer_ != nullptr && clock_.Now() - last_bytes_ > kStandstill) transfer_->TryCancel();
  const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return transfer_ == nullptr; };
  // A gateway whose transfer was cut calls again before the device has noticed.
  if (!mutex_.AwaitWithTimeout(absl::Condition(&ended), kPatience)) {
    // Not FAILED_PRECONDITION: whoever transfers something in between must not end an update that is due.
    return Error(absl::StatusCode::kUnavailable, "BUSY",
                 "another transfer is under way: call again when it ends");
  }
  if (!rebooting_) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable, "REBOOTING", "the device is about to boot: call again then");
}

absl::Status DeviceService::BeginTransfer(grpc::ServerContext* context) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(WaitForTransfer());
  transfer_ = context;
  last_bytes_ = clock_.Now();
  return absl::OkStatus();
}

absl::Status DeviceService::Install(const v1::InstallHeader& header,
                                    grpc::ServerReader<v1::InstallImageRequest>& reader) {
  const SlotContent offered = {.target_path = header.image().target_path(),
                               .length = header.image().length_bytes(),
                               .sha256 = header.image().sha256()};
  SlotContent content;
  std::unique_ptr<Component::Installation> installation;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(Component * component, device_.Find(header.ecu_serial()));
    ASSIGN_OR_RETURN(content, device_.Verify(*component, offered, ToFiles(header.director_metadata()),
                                             ToFiles(header.image_metadata()), clock_.Now()));
    ASSIGN_OR_RETURN(installation, component->BeginInstallation());
  }
  trust::ImageCheck check(content.length, content.sha256);
  v1::InstallImageRequest request;
  while (reader.Read(&request)) {
    if (request.part_case() != v1::InstallImageRequest::kData)
      return Malformed("after the header come bytes only");
    RETURN_IF_ERROR(check.Update(request.data()));
    RETURN_IF_ERROR(installation->Write(request.data()));
    absl::MutexLock lock(&mutex_);
    last_bytes_ = clock_.Now();
  }
  RETURN_IF_ERROR(check.Finish());
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(installation->Finish(content));
  log::Info("installed into the inactive slot",
            {{"ecu_serial", header.ecu_serial()}, {"version", content.version}});
  return absl::OkStatus();
}

grpc::Status DeviceService::ActivateImage(grpc::ServerContext*, const v1::ActivateImageRequest* request,
                                          v1::ActivateImageResponse*) {
  absl::MutexLock lock(&mutex_);
  if (const absl::Status status = WaitForTransfer(); !status.ok()) return rpc::ToGrpc(status);
  const absl::StatusOr<Component*> component = device_.Find(request->ecu_serial());
  if (!component.ok()) return rpc::ToGrpc(component.status());
  if (const absl::Status status = (*component)->Activate(request->sha256()); !status.ok())
    return rpc::ToGrpc(status);
  log::Info("reboots into the new image",
            {{"ecu_serial", request->ecu_serial()}, {"sha256", request->sha256()}});
  rebooting_ = true;
  reboot_();
  return grpc::Status::OK;
}

}  // namespace countersign::device
