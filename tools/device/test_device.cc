#include "tools/device/test_device.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/public_key.h"
#include "common/file/file.h"
#include "common/rpc/status_grpc.h"
#include "common/testing/status_matchers.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "gmock/gmock.h"

namespace countersign::device {

namespace fs = std::filesystem;
using common::v1::FailureReason;
using common::v1::FailureReason_Name;
using common::v1::UpdatePhase_Name;

DeviceTest::DeviceTest(Provisioning provisioning) : offer_(clock_.Now()) {
  std::string folder = "/tmp/device-XXXXXX";  // short: a socket's path has 107 bytes
  folder_ = mkdtemp(folder.data());
  provisioning.folder = folder_ + "/device";
  provisioning.device_id = provisioning.model = "lamp";
  provisioning.manufacturer = "acme";
  provisioning.hardware_version = "1";
  provisioning.components = {{kEcu, kHardware}, {kOtherEcu, kHardware}};
  provisioning.factory_image = folder_ + "/factory.bin";
  provisioning.factory_version = "1.0.0";
  EXPECT_OK(WriteFileAtomically(provisioning.factory_image, kFactoryImage));
  EXPECT_OK(Provision(provisioning));
  Boot();
  offer_.Release("the new image", 2, "2.0.0");
}

DeviceTest::~DeviceTest() {
  Halt();
  fs::remove_all(folder_);
}

void DeviceTest::Halt() {
  if (server_ != nullptr) server_->Shutdown();
  server_.reset();
  service_.reset();
  device_.reset();
}

void DeviceTest::Boot(bool healthy) {
  Halt();
  operates_.clear();
  absl::StatusOr<std::unique_ptr<Device>> device =
      Device::Boot({.folder = folder_ + "/device",
                    .director_root = offer_.director.first_root,
                    .image_root = offer_.images.first_root,
                    .healthy =
                        [this, healthy](const std::string& image) {
                          checked_.push_back(image);
                          return healthy;
                        },
                    .readings = [this] { return readings_; },
                    .card = card_,
                    .approval_policy = policy_,
                    .operate = [this](const Component& component,
                                      bool operates) { operates_[component.ecu_serial()] = operates; },
                    .clock = &clock_});
  ASSERT_OK(device);
  device_ = *std::move(device);
  service_ = std::make_unique<DeviceService>(*device_, clock_, [this] { ++reboots_; });
  const std::string address = absl::StrCat("unix:", folder_, "/", ++boots_, ".sock");
  server_ = grpc::ServerBuilder()
                .AddListeningPort(address, grpc::InsecureServerCredentials())
                .RegisterService(service_.get())
                .BuildAndStart();
  stub_ = v1::DeviceService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}

std::map<std::string, std::string> DeviceTest::WhatMustNotChange() {
  const std::string inactive = component().boot_state().active == Slot::kA ? "/slot-b/" : "/slot-a/";
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(ComponentFolder())) {
    const std::string path = entry.path();
    if (entry.is_regular_file() && !absl::StrContains(path, inactive) && !absl::EndsWith(path, "/counter")) {
      files[path] = ReadFile(path).value();
    }
  }
  return files;
}

v1::InstallImageResponse DeviceTest::Send(const v1::InstallHeader& header, absl::string_view image) {
  absl::StatusOr<v1::InstallImageResponse> response = Transfer(*stub_, header, image);
  EXPECT_OK(response);
  return response.ok() ? *response : v1::InstallImageResponse();
}

v1::InstallImageResponse DeviceTest::SendRaw(const std::vector<v1::InstallImageRequest>& messages) {
  grpc::ClientContext context;
  v1::InstallImageResponse response;
  const auto writer = stub_->InstallImage(&context, &response);
  for (const v1::InstallImageRequest& message : messages) {
    if (!writer->Write(message)) break;
  }
  writer->WritesDone();
  EXPECT_OK(rpc::FromGrpc(writer->Finish()));
  return response;
}

absl::Status DeviceTest::Activate(const std::string& sha256, const std::string& serial,
                                  const std::string& bundle) {
  grpc::ClientContext context;
  v1::ActivateImageRequest request;
  request.set_ecu_serial(serial);
  request.set_sha256(sha256);
  request.set_bundle(bundle);
  v1::ActivateImageResponse response;
  return rpc::FromGrpc(stub_->ActivateImage(&context, request, &response));
}

absl::Status DeviceTest::Confirm(const std::string& sha256, bool confirm, const std::string& who) {
  grpc::ClientContext context;
  v1::ConfirmImageRequest request;
  request.set_ecu_serial(kEcu);
  request.set_sha256(sha256);
  request.set_confirm(confirm);
  request.set_principal_id(who);
  v1::ConfirmImageResponse response;
  return rpc::FromGrpc(stub_->ConfirmImage(&context, request, &response));
}

absl::Status DeviceTest::Commit(const std::string& sha256) {
  grpc::ClientContext context;
  v1::CommitImageRequest request;
  request.set_ecu_serial(kEcu);
  request.set_sha256(sha256);
  v1::CommitImageResponse response;
  return rpc::FromGrpc(stub_->CommitImage(&context, request, &response));
}

absl::Status DeviceTest::Revert(const std::string& sha256) {
  grpc::ClientContext context;
  v1::RevertImageRequest request;
  request.set_ecu_serial(kEcu);
  request.set_sha256(sha256);
  v1::RevertImageResponse response;
  return rpc::FromGrpc(stub_->RevertImage(&context, request, &response));
}

absl::StatusOr<std::vector<std::string>> DeviceTest::ApplyOrders() {
  return ApplyOrders(offer_.director.files);
}

absl::StatusOr<std::vector<std::string>> DeviceTest::ApplyOrders(
    const std::map<std::string, std::string>& files) {
  grpc::ClientContext context;
  v1::ApplyOrdersRequest request;
  for (const auto& [name, content] : files) {
    v1::MetadataFile& file = *request.add_director_metadata();
    file.set_file_name(name);
    file.set_content(content);
  }
  v1::ApplyOrdersResponse response;
  const absl::Status status = rpc::FromGrpc(stub_->ApplyOrders(&context, request, &response));
  if (!status.ok()) return status;
  return std::vector<std::string>(response.quarantined().begin(), response.quarantined().end());
}

v1::GetDescriptionResponse DeviceTest::DescribeAll() {
  grpc::ClientContext context;
  v1::GetDescriptionResponse response;
  EXPECT_OK(rpc::FromGrpc(stub_->GetDescription(&context, {}, &response)));
  return response;
}

std::vector<std::string> DeviceTest::Reports(const std::string& nonce) {
  grpc::ClientContext context;
  v1::GetVersionReportsRequest request;
  request.set_nonce(nonce);
  v1::GetVersionReportsResponse response;
  EXPECT_OK(rpc::FromGrpc(stub_->GetVersionReports(&context, request, &response)));
  return {response.reports().begin(), response.reports().end()};
}

absl::StatusOr<trust::VersionReport> DeviceTest::VerifiedReport(const std::string& nonce,
                                                                int64_t last_counter) {
  const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(Reports(nonce).at(0));
  if (!envelope.ok()) return envelope.status();
  const crypto::PublicKey key =
      crypto::PublicKey::FromPem(device_->description().components(0).public_key_pem()).value();
  return trust::VerifyReport(*envelope, {.ecu_serial = kEcu,
                                         .key_id = trust::KeyId(key),
                                         .key = key,
                                         .last_report_counter = last_counter,
                                         .nonce = nonce});
}

trust::VersionReport DeviceTest::Report() {
  const absl::StatusOr<trust::VersionReport> report =
      VerifiedReport(absl::StrCat("report-", ++reports_), last_counter_);
  EXPECT_OK(report);
  if (!report.ok()) return {};
  last_counter_ = report->report_counter;
  return *report;
}

void DeviceTest::ExpectInstalls() {
  const v1::InstallImageResponse response = Send();
  EXPECT_TRUE(response.installed()) << response.failure_detail();
}

void DeviceTest::ExpectRefused(FailureReason reason, const v1::InstallHeader& header,
                               absl::string_view image) {
  const std::map<std::string, std::string> before = WhatMustNotChange();
  const int reboots = reboots_;
  const std::string running = component().running().sha256;
  const v1::InstallImageResponse response = Send(header, image);
  EXPECT_FALSE(response.installed());
  EXPECT_EQ(FailureReason_Name(response.failure_reason()), FailureReason_Name(reason))
      << response.failure_detail();
  EXPECT_THAT(response.failure_detail(), ::testing::Not(::testing::IsEmpty()));
  EXPECT_THAT(Activate(header.image().sha256()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED"));
  EXPECT_EQ(reboots_, reboots);
  EXPECT_EQ(WhatMustNotChange(), before);
  Boot();
  EXPECT_EQ(WhatMustNotChange(), before);
  EXPECT_EQ(component().running().sha256, running);
}

void DeviceTest::ExpectWorks() {
  ExpectInstalls();
  EXPECT_OK(Activate());
  Boot();
  EXPECT_EQ(component().running().sha256, offer_.approved().sha256);
}

void DeviceTest::ExpectEnd(common::v1::UpdatePhase phase, FailureReason reason, const std::string& sha256) {
  const v1::ComponentDescription described = Describe();
  EXPECT_EQ(UpdatePhase_Name(described.last_update()), UpdatePhase_Name(phase));
  EXPECT_EQ(FailureReason_Name(described.failure_reason()), FailureReason_Name(reason));
  EXPECT_EQ(described.last_update_sha256(), sha256);
}

void Damage(const std::string& path) {
  std::string bytes = ReadFile(path).value();
  bytes[bytes.size() / 2] ^= 0x40;
  EXPECT_OK(WriteFileAtomically(path, bytes));
}

}  // namespace countersign::device
