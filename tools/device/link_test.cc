// What strangers on the local link can do to a device: nothing (FOTA-R5).
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/rpc/status_grpc.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "common/trust/test_repository.h"
#include "gtest/gtest.h"
#include "tools/device/provision.h"
#include "tools/device/service.h"

namespace countersign::device {
namespace {

constexpr char kEcu[] = "meter-1";
constexpr char kHardware[] = "meter-a";
constexpr char kPath[] = "acme/meter/fw-2.bin";
constexpr char kOldImage[] = "the image that it left the factory with";
constexpr char kNewImage[] = "the new image";

// A constrained device: the one that has least to defend itself with.
class LinkTest : public ::testing::Test {
 protected:
  LinkTest() : director_(clock_.Now()) {
    // Short: a socket's path has at most 107 characters.
    std::string folder = "/tmp/link-XXXXXX";
    folder_ = mkdtemp(folder.data());
    EXPECT_OK(WriteFileAtomically(folder_ + "/factory.bin", kOldImage));
    EXPECT_OK(Provision({.folder = folder_ + "/device",
                         .device_id = "meter",
                         .manufacturer = "acme",
                         .model = "meter",
                         .hardware_version = "1",
                         .components = {{kEcu, kHardware}},
                         .constrained = true,
                         .factory_image = folder_ + "/factory.bin",
                         .factory_version = "1.0.0"}));
    director_.targets.targets[kPath] = trust::MakeTarget(kNewImage, 2, {kHardware}, "2.0.0");
    director_.targets.targets[kPath].custom.ecu_identifiers[kEcu] = {.hardware_id = kHardware};
    director_.Publish();
    Boot();
  }
  ~LinkTest() override {
    Halt();
    std::filesystem::remove_all(folder_);
  }

  void Halt() {
    if (server_ != nullptr) server_->Shutdown();
    server_.reset();
    service_.reset();
    device_.reset();
  }
  void Boot(bool healthy = true) {
    Halt();
    auto device = Device::Boot({.folder = folder_ + "/device",
                                .director_root = director_.first_root,
                                .image_root = director_.first_root,
                                .healthy = [healthy](const std::string&) { return healthy; }});
    ASSERT_OK(device);
    device_ = *std::move(device);
    service_ = std::make_unique<DeviceService>(*device_, clock_, [] {});
    const std::string socket = absl::StrCat("unix:", folder_, "/", ++boots_, ".sock");
    server_ = grpc::ServerBuilder()
                  .AddListeningPort(socket, grpc::InsecureServerCredentials())
                  .RegisterService(service_.get())
                  .BuildAndStart();
    ASSERT_NE(server_, nullptr);
    stub_ = v1::DeviceService::NewStub(grpc::CreateChannel(socket, grpc::InsecureChannelCredentials()));
  }

  using Writer = std::unique_ptr<grpc::ClientWriter<v1::InstallImageRequest>>;

  v1::InstallImageRequest Header() const {
    v1::InstallImageRequest request;
    v1::InstallHeader& header = *request.mutable_header();
    header.set_ecu_serial(kEcu);
    header.mutable_image()->set_target_path(kPath);
    header.mutable_image()->set_length_bytes(sizeof(kNewImage) - 1);
    header.mutable_image()->set_sha256(crypto::Sha256Hex(kNewImage));
    for (const auto& [name, content] : director_.files) {
      v1::MetadataFile& file = *header.add_director_metadata();
      file.set_file_name(name);
      file.set_content(content);
    }
    return request;
  }

  absl::StatusOr<v1::InstallImageResponse> TryInstall() {
    grpc::ClientContext context;
    v1::InstallImageResponse response;
    const Writer writer = stub_->InstallImage(&context, &response);
    v1::InstallImageRequest data;
    data.set_data(kNewImage);
    if (writer->Write(Header())) writer->Write(data);
    writer->WritesDone();
    const absl::Status status = rpc::FromGrpc(writer->Finish());
    if (!status.ok()) return status;
    return response;
  }
  v1::InstallImageResponse Install() {
    const absl::StatusOr<v1::InstallImageResponse> response = TryInstall();
    EXPECT_OK(response);
    return response.ok() ? *response : v1::InstallImageResponse();
  }

  absl::Status Activate(absl::string_view image) {
    grpc::ClientContext context;
    v1::ActivateImageRequest request;
    request.set_ecu_serial(kEcu);
    request.set_sha256(crypto::Sha256Hex(image));
    v1::ActivateImageResponse response;
    return rpc::FromGrpc(stub_->ActivateImage(&context, request, &response));
  }

  absl::Status Describe() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    v1::GetDescriptionResponse response;
    return rpc::FromGrpc(stub_->GetDescription(&context, {}, &response));
  }

  std::string Runs() { return device_->components()[0]->running().version; }

  FakeClock clock_;
  trust::TestRepository director_;
  std::string folder_;
  int boots_ = 0;
  std::unique_ptr<Device> device_;
  std::unique_ptr<DeviceService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::DeviceService::Stub> stub_;
};

const auto kNotInstalled = StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED");

// FOTA-R5. Attack: image rollback, with nothing but a message on the link.
TEST_F(LinkTest, NobodyCanHaveTheOldImageRunAgain) {
  ASSERT_TRUE(Install().installed());
  ASSERT_OK(Activate(kNewImage));
  Boot();
  ASSERT_EQ(Runs(), "2.0.0");
  EXPECT_THAT(Activate(kOldImage), kNotInstalled);
  EXPECT_THAT(Activate(kNewImage), kNotInstalled);
  Boot();
  EXPECT_EQ(Runs(), "2.0.0");
}

// FOTA-R5, FOTA-P2: or the device would boot for ever.
TEST_F(LinkTest, NobodyCanHaveAnImageThatFailedTriedAgain) {
  ASSERT_TRUE(Install().installed());
  ASSERT_OK(Activate(kNewImage));
  Boot(/*healthy=*/false);
  ASSERT_EQ(Runs(), "1.0.0");
  EXPECT_THAT(Activate(kNewImage), kNotInstalled);
  // Who has it installed anew has it verified anew.
  ASSERT_TRUE(Install().installed());
  ASSERT_OK(Activate(kNewImage));
  Boot();
  EXPECT_EQ(Runs(), "2.0.0");
}

// FOTA-R5
TEST_F(LinkTest, ACallerThatSaysNothingKeepsNobodyOut) {
  grpc::ClientContext silent_context;
  v1::InstallImageResponse silent_response;
  const Writer silent = stub_->InstallImage(&silent_context, &silent_response);
  EXPECT_OK(Describe());
  EXPECT_TRUE(Install().installed());
  silent_context.TryCancel();
  EXPECT_FALSE(silent->Finish().ok());
}

// FOTA-R5: a transfer that moves is not disturbed, one that stands still makes way.
TEST_F(LinkTest, ATransferThatStandsStillMakesWayForAnother) {
  grpc::ClientContext stuck_context;
  v1::InstallImageResponse stuck_response;
  const Writer stuck = stub_->InstallImage(&stuck_context, &stuck_response);
  ASSERT_TRUE(stuck->Write(Header()));
  // Until the device is in the middle of it.
  while (ReasonOf(Activate(kNewImage)) != "BUSY") {
  }
  EXPECT_OK(Describe());
  EXPECT_THAT(TryInstall().status(), StatusIs(absl::StatusCode::kUnavailable, "BUSY"));
  clock_.Advance(absl::Minutes(1));
  EXPECT_TRUE(Install().installed());
  EXPECT_FALSE(stuck->Finish().ok());
  EXPECT_OK(Activate(kNewImage));
}

TEST_F(LinkTest, NothingIsTouchedBetweenTheActivationAndTheBoot) {
  ASSERT_TRUE(Install().installed());
  ASSERT_OK(Activate(kNewImage));
  EXPECT_THAT(Activate(kNewImage), StatusIs(absl::StatusCode::kUnavailable, "REBOOTING"));
  grpc::ClientContext context;
  v1::InstallImageResponse response;
  const Writer writer = stub_->InstallImage(&context, &response);
  writer->Write(Header());
  writer->WritesDone();
  EXPECT_THAT(rpc::FromGrpc(writer->Finish()), StatusIs(absl::StatusCode::kUnavailable, "REBOOTING"));
  Boot();
  EXPECT_EQ(Runs(), "2.0.0");
}

TEST_F(LinkTest, ASerialThatLeadsOutOfTheFolderIsNoSerial) {
  for (const char* serial : {"../elsewhere", "", ".hidden", "a/b"}) {
    EXPECT_THAT(Provision({.folder = folder_ + "/other",
                           .device_id = "meter-2",
                           .components = {{serial, kHardware}},
                           .constrained = true,
                           .factory_image = folder_ + "/factory.bin"}),
                StatusIs(absl::StatusCode::kInvalidArgument, "COMPONENT_INVALID"));
  }
}

}  // namespace
}  // namespace countersign::device
