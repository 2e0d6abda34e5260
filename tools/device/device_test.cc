#include "tools/device/device.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/public_key.h"
#include "common/file/file.h"
#include "common/rpc/status_grpc.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/device/service.h"
#include "tools/device/test_offer.h"

namespace countersign::device {
namespace {

namespace fs = std::filesystem;
using common::v1::FailureReason;
using common::v1::FailureReason_Name;
using trust::SignedBytes;

constexpr char kFactoryImage[] = "the image that it left the factory with";
constexpr char kOtherEcu[] = "ecu-2";

// A device with two equal components behind the service that its gateway talks to, in this process.
class DeviceTest : public ::testing::Test {
 protected:
  explicit DeviceTest(bool constrained = false) : offer_(clock_.Now()) {
    std::string folder = "/tmp/device-XXXXXX";  // short: a socket's path has 107 bytes
    folder_ = mkdtemp(folder.data());
    const std::string factory = folder_ + "/factory.bin";
    EXPECT_OK(WriteFileAtomically(factory, kFactoryImage));
    EXPECT_OK(Provision({.folder = folder_ + "/device",
                         .device_id = "lamp",
                         .manufacturer = "acme",
                         .model = "lamp",
                         .hardware_version = "1",
                         .app_id = "",
                         .components = {{kEcu, kHardware}, {kOtherEcu, kHardware}},
                         .constrained = constrained,
                         .factory_image = factory,
                         .factory_version = "1.0.0"}));
    Boot();
    offer_.Release("the new image", 2, "2.0.0");
  }

  ~DeviceTest() override {
    Halt();
    fs::remove_all(folder_);
  }

  void Halt() {
    if (server_ != nullptr) server_->Shutdown();
    server_.reset();
    service_.reset();
    device_.reset();
  }

  // Off and on again: what survives is what is on disk.
  void Boot(bool healthy = true) {
    Halt();
    absl::StatusOr<std::unique_ptr<Device>> device =
        Device::Boot({.folder = folder_ + "/device",
                      .director_root = offer_.director.first_root,
                      .image_root = offer_.images.first_root,
                      .healthy = [healthy](const std::string&) { return healthy; }});
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

  const Component& component(const std::string& serial = kEcu) { return **device_->Find(serial); }
  std::string ComponentFolder() const { return folder_ + "/device/components/" + kEcu; }

  // Every file of the component but those of the inactive slot, and the report counter.
  std::map<std::string, std::string> WhatMustNotChange() {
    const std::string inactive = component().boot_state().active == Slot::kA ? "/slot-b/" : "/slot-a/";
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(ComponentFolder())) {
      const std::string path = entry.path();
      if (entry.is_regular_file() && !absl::StrContains(path, inactive) &&
          !absl::EndsWith(path, "/counter")) {
        files[path] = ReadFile(path).value();
      }
    }
    return files;
  }

  v1::InstallImageResponse Send(const v1::InstallHeader& header, absl::string_view image) {
    absl::StatusOr<v1::InstallImageResponse> response = Transfer(*stub_, header, image);
    EXPECT_OK(response);
    return response.ok() ? *response : v1::InstallImageResponse();
  }
  v1::InstallImageResponse Send() { return Send(offer_.Header(), offer_.image); }

  // Sends the messages as they are, whatever their order.
  v1::InstallImageResponse SendRaw(const std::vector<v1::InstallImageRequest>& messages) {
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

  absl::Status Activate(const std::string& sha256, const std::string& serial = kEcu) {
    grpc::ClientContext context;
    v1::ActivateImageRequest request;
    request.set_ecu_serial(serial);
    request.set_sha256(sha256);
    v1::ActivateImageResponse response;
    return rpc::FromGrpc(stub_->ActivateImage(&context, request, &response));
  }

  v1::ComponentDescription Describe() {
    grpc::ClientContext context;
    v1::GetDescriptionResponse response;
    EXPECT_OK(rpc::FromGrpc(stub_->GetDescription(&context, {}, &response)));
    return response.components(0);
  }

  std::vector<std::string> Reports(const std::string& nonce) {
    grpc::ClientContext context;
    v1::GetVersionReportsRequest request;
    request.set_nonce(nonce);
    v1::GetVersionReportsResponse response;
    EXPECT_OK(rpc::FromGrpc(stub_->GetVersionReports(&context, request, &response)));
    return {response.reports().begin(), response.reports().end()};
  }

  // The first component's report, verified as the server does it.
  absl::StatusOr<trust::VersionReport> VerifiedReport(const std::string& nonce, int64_t last_counter) {
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

  void ExpectInstalls() {
    const v1::InstallImageResponse response = Send();
    EXPECT_TRUE(response.installed()) << response.failure_detail();
  }

  // What is offered is refused for `reason`; nothing runs or will run that did not before.
  void ExpectRefused(FailureReason reason, const v1::InstallHeader& header, absl::string_view image) {
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
  void ExpectRefused(FailureReason reason) { ExpectRefused(reason, offer_.Header(), offer_.image); }

  // The metadata is accepted, and remembered; the slot stays empty, since other bytes follow.
  void ExpectOnlyBytesRefused() {
    ExpectRefused(common::v1::FAILURE_REASON_INTEGRITY, offer_.Header(), "other bytes");
  }

  // The offer goes through once more: what came before did no harm.
  void ExpectWorks() {
    ExpectInstalls();
    EXPECT_OK(Activate(offer_.approved().sha256));
    Boot();
    EXPECT_EQ(component().running().sha256, offer_.approved().sha256);
  }

  FakeClock clock_;
  TestOffer offer_;
  std::string folder_;
  int boots_ = 0;
  int reboots_ = 0;  // asked for
  std::unique_ptr<Device> device_;
  std::unique_ptr<DeviceService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::DeviceService::Stub> stub_;
};

// FOTA-G, FOTA-H: verified, installed, booted, reported with the component's own signature.
TEST_F(DeviceTest, InstallsWhatBothRepositoriesAgreeOn) {
  ASSERT_OK_AND_ASSIGN(const trust::VersionReport before, VerifiedReport("nonce-1", 0));
  EXPECT_EQ(before.version, "1.0.0");
  EXPECT_EQ(before.filepath, "");
  EXPECT_EQ(before.sha256, crypto::Sha256Hex(kFactoryImage));
  EXPECT_EQ(before.manufacturer, "acme");
  EXPECT_FALSE(before.proxied);

  ExpectInstalls();
  EXPECT_EQ(component().running().version, "1.0.0");
  EXPECT_EQ(reboots_, 0);
  ASSERT_OK(Activate(offer_.approved().sha256));
  EXPECT_EQ(reboots_, 1);
  EXPECT_EQ(component().running().version, "1.0.0");
  EXPECT_EQ(Describe().last_update(), common::v1::UPDATE_PHASE_UNSPECIFIED);
  Boot();

  EXPECT_EQ(Describe().last_update(), common::v1::UPDATE_PHASE_VERIFYING);
  EXPECT_EQ(Describe().last_update_sha256(), offer_.approved().sha256);
  ASSERT_OK_AND_ASSIGN(const trust::VersionReport after, VerifiedReport("nonce-2", before.report_counter));
  EXPECT_EQ(after.version, "2.0.0");
  EXPECT_EQ(after.filepath, offer_.path);
  EXPECT_EQ(after.sha256, offer_.approved().sha256);
  EXPECT_EQ(after.length, static_cast<int64_t>(offer_.image.size()));
  EXPECT_EQ(after.release_counter, 2);
  EXPECT_EQ(component(kOtherEcu).running().version, "1.0.0");
}

// FOTA-P2
TEST_F(DeviceTest, AnImageThatIsNotWellIsRolledBackAndToldOf) {
  ExpectInstalls();
  ASSERT_OK(Activate(offer_.approved().sha256));
  Boot(/*healthy=*/false);
  EXPECT_EQ(component().running().version, "1.0.0");
  EXPECT_EQ(Describe().last_update(), common::v1::UPDATE_PHASE_ROLLED_BACK);
  EXPECT_EQ(Describe().failure_reason(), common::v1::FAILURE_REASON_UPDATE_FAILED);
  EXPECT_EQ(Describe().last_update_sha256(), offer_.approved().sha256);
  Boot();
  EXPECT_EQ(component().running().version, "1.0.0") << "a trial that failed is not begun again";
}

// FOTA-R2, FOTA-P2: what is on the flash is measured again before it runs.
TEST_F(DeviceTest, AnImageThatIsAlteredOnItsDiskBeforeTheBootIsNotRun) {
  ExpectInstalls();
  ASSERT_OK(Activate(offer_.approved().sha256));
  ASSERT_OK(WriteFileAtomically(ComponentFolder() + "/slot-b/image", "the evil image"));
  ASSERT_NO_FATAL_FAILURE(Boot());
  EXPECT_EQ(component().running().version, "1.0.0");
  EXPECT_EQ(Describe().last_update(), common::v1::UPDATE_PHASE_ROLLED_BACK);
}

// FOTA-R1, FOTA-R2
TEST_F(DeviceTest, RefusesAnAlteredImage) {
  ExpectInstalls();  // also in the place of a good one, which is then gone
  std::string altered = offer_.image;
  altered[3] ^= 1;
  ExpectRefused(common::v1::FAILURE_REASON_INTEGRITY, offer_.Header(), altered);
  ExpectWorks();
}

// FOTA-R1
TEST_F(DeviceTest, RefusesAnImageThatIsTooLong) {
  ExpectRefused(common::v1::FAILURE_REASON_INTEGRITY, offer_.Header(), offer_.image + "x");
  ExpectRefused(common::v1::FAILURE_REASON_INTEGRITY, offer_.Header(), std::string(8 << 20, 'x'));
  ExpectWorks();
}

// FOTA-R1, FOTA-R5. Attack: endless data. The device hangs up; it does not wait for the end.
TEST_F(DeviceTest, EndsATransferThatDoesNotEnd) {
  grpc::ClientContext context;
  v1::InstallImageResponse response;
  const auto writer = stub_->InstallImage(&context, &response);
  v1::InstallImageRequest request;
  *request.mutable_header() = offer_.Header();
  ASSERT_TRUE(writer->Write(request));
  request.set_data(std::string(256 << 10, 'x'));
  constexpr int kMostChunks = 512;  // 128 MiB
  int chunks = 0;
  while (chunks < kMostChunks && writer->Write(request)) ++chunks;
  EXPECT_LT(chunks, kMostChunks);
  writer->WritesDone();
  EXPECT_OK(rpc::FromGrpc(writer->Finish()));
  EXPECT_EQ(response.failure_reason(), common::v1::FAILURE_REASON_INTEGRITY);
  ExpectWorks();
}

// FOTA-R1
TEST_F(DeviceTest, RefusesAnImageThatEndsEarly) {
  ExpectRefused(common::v1::FAILURE_REASON_INTEGRITY, offer_.Header(), offer_.image.substr(1));
  ExpectRefused(common::v1::FAILURE_REASON_INTEGRITY, offer_.Header(), "");
  ExpectWorks();
}

// FOTA-G
TEST_F(DeviceTest, RefusesAnImageForOtherHardware) {
  offer_.ordered().custom.ecu_identifiers[kEcu].hardware_id = "lamp-b";
  offer_.Publish();
  ExpectRefused(common::v1::FAILURE_REASON_TARGET_MISMATCH);
}

// FOTA-G: the Director may be wrong, or stolen; what the manufacturer signed decides.
TEST_F(DeviceTest, RefusesAnImageThatItsManufacturerMadeForOtherHardware) {
  offer_.approved().custom.hardware_ids = {"lamp-b"};
  offer_.Publish();
  ExpectRefused(common::v1::FAILURE_REASON_TARGET_MISMATCH);
}

// FOTA-G
TEST_F(DeviceTest, RefusesAnImageThatIsOrderedForAnotherComponent) {
  offer_.ordered().custom.ecu_identifiers = {{kOtherEcu, {kHardware, "consent-1"}}};
  offer_.Publish();
  ExpectRefused(common::v1::FAILURE_REASON_TARGET_MISMATCH);
}

// FOTA-G, FOTA-R5
TEST_F(DeviceTest, RefusesAnImageForAComponentThatItDoesNotHave) {
  v1::InstallHeader header = offer_.Header();
  header.set_ecu_serial("ecu-9");
  const v1::InstallImageResponse response = Send(header, offer_.image);
  EXPECT_FALSE(response.installed());
  EXPECT_EQ(response.failure_reason(), common::v1::FAILURE_REASON_TARGET_MISMATCH);
  EXPECT_THAT(Activate(offer_.approved().sha256, "ecu-9"), StatusIs(absl::StatusCode::kNotFound));
  ExpectWorks();
}

// FOTA-G: the gateway may be wrong, or taken over.
TEST_F(DeviceTest, RefusesAnotherImageThanTheOneThatIsOrdered) {
  v1::InstallHeader header = offer_.Header();
  header.mutable_image()->set_sha256(crypto::Sha256Hex("the evil image"));
  header.mutable_image()->set_length_bytes(14);
  ExpectRefused(common::v1::FAILURE_REASON_TARGET_MISMATCH, header, "the evil image");
  header = offer_.Header();
  header.mutable_image()->set_target_path("acme/lamp/fw-1.bin");
  ExpectRefused(common::v1::FAILURE_REASON_TARGET_MISMATCH, header, offer_.image);
}

// FOTA-G, SC-MA: in each place where a signature stands, none, a stranger's, and one over other bytes.
TEST_F(DeviceTest, RefusesMetadataThatIsNotSignedByItsRole) {
  const crypto::PemSigner stranger = trust::NewSigner();
  using Forgery = std::function<std::string(const trust::Envelope&)>;
  const std::vector<Forgery> forgeries = {
      [](const trust::Envelope& good) { return trust::Envelope::Unsigned(good.content()).Serialise(); },
      [&](const trust::Envelope& good) {
        return SignedBytes(trust::Envelope::Unsigned(good.content()), {&stranger});
      },
      [](const trust::Envelope& good) {
        nlohmann::json content = good.content();
        content["x-altered"] = "yes";
        trust::Envelope altered = trust::Envelope::Unsigned(std::move(content));
        for (const trust::Signature& signature : good.signatures()) altered.AddSignature(signature);
        return altered.Serialise();
      }};
  for (trust::TestRepository* repository : {&offer_.images, &offer_.director}) {
    const bool is_director = repository == &offer_.director;
    for (const std::string role : {"timestamp", "snapshot", "targets", "acme"}) {
      if (is_director && role == "acme") continue;
      // A snapshot of another length or digest than the timestamp promises is no longer a matter of
      // signatures.
      const FailureReason reason = role == "snapshot" ? common::v1::FAILURE_REASON_INTEGRITY
                                                      : common::v1::FAILURE_REASON_SIGNATURE_INVALID;
      // Published anew each time: a device that has the good file of a version asks for no other.
      for (const Forgery& forge : forgeries) {
        offer_.Publish();
        std::string name = "timestamp.json";
        if (role == "snapshot") name = trust::MetadataFilename(role, repository->snapshot.version);
        if (role == "targets") name = trust::MetadataFilename(role, repository->targets.version);
        if (role == "acme") name = trust::MetadataFilename(role, repository->delegated["acme"].version);
        std::string& file = repository->files.at(name);
        file = forge(trust::Envelope::Parse(file).value());
        SCOPED_TRACE(absl::StrCat(is_director ? "Director's " : "image repository's ", name, ": ",
                                  absl::string_view(file).substr(0, 60)));
        ExpectRefused(reason);
      }
    }
  }
  offer_.Publish();
  ExpectWorks();
}

// SC-MA, PLUS-1: both the manufacturer and the authority, or nothing.
TEST_F(DeviceTest, RefusesAnImageThatOnlyOneOfTheTwoPartiesHasSigned) {
  const std::string name = trust::MetadataFilename("acme", offer_.images.delegated["acme"].version);
  const trust::Envelope unsigned_role = offer_.images.delegated["acme"].ToEnvelope();
  for (const crypto::PemSigner* party : {&offer_.images.manufacturer, &offer_.images.authority}) {
    offer_.images.files[name] = SignedBytes(unsigned_role, {party});
    ExpectRefused(common::v1::FAILURE_REASON_SIGNATURE_INVALID);
    const crypto::PemSigner stranger = trust::NewSigner();
    offer_.images.files[name] = SignedBytes(unsigned_role, {party, &stranger});
    ExpectRefused(common::v1::FAILURE_REASON_SIGNATURE_INVALID);
  }
}

// SC-MA: what the authority has not approved yet lies below pending/, signed by the manufacturer alone.
TEST_F(DeviceTest, RefusesAnImageThatWaitsForApproval) {
  offer_.path = "pending/acme/fw-2.bin";
  offer_.images.delegated["acme-pending"].targets[offer_.path] =
      offer_.images.delegated["acme"].targets["acme/lamp/fw-2.bin"];
  offer_.director.targets.targets[offer_.path] = offer_.director.targets.targets["acme/lamp/fw-2.bin"];
  offer_.director.targets.targets.erase("acme/lamp/fw-2.bin");
  offer_.Publish();
  ExpectRefused(common::v1::FAILURE_REASON_NOT_APPROVED);
}

// FOTA-R1. Attack: stolen Director key.
TEST_F(DeviceTest, RefusesAnImageThatTheDirectorAloneKnows) {
  offer_.images.delegated["acme"].targets.erase(offer_.path);
  offer_.Publish();
  ExpectRefused(common::v1::FAILURE_REASON_NOT_APPROVED);
}

// FOTA-R1. Attack: stolen Director key.
TEST_F(DeviceTest, RefusesWhatDirectorAndImageRepositoryDisagreeOn) {
  offer_.image = "the evil image";
  offer_.ordered().sha256 = crypto::Sha256Hex(offer_.image);
  offer_.ordered().length = static_cast<int64_t>(offer_.image.size());
  offer_.Publish();
  ExpectRefused(common::v1::FAILURE_REASON_TARGET_MISMATCH);
  offer_.Release("the new image", 2, "2.0.0");
  offer_.ordered().custom.release_counter = 3;
  offer_.Publish();
  ExpectRefused(common::v1::FAILURE_REASON_TARGET_MISMATCH);
}

// FOTA-R5. Attack: metadata rollback. Also after a restart, and though nothing was installed.
TEST_F(DeviceTest, RefusesOlderMetadataThanItHasSeen) {
  const v1::InstallHeader old_offer = offer_.Header();
  const std::string old_image = offer_.image;
  offer_.Release("a newer image", 3, "3.0.0");
  ExpectOnlyBytesRefused();
  v1::InstallHeader old_director = offer_.Header();
  *old_director.mutable_director_metadata() = old_offer.director_metadata();
  *old_director.mutable_image() = old_offer.image();
  ExpectRefused(common::v1::FAILURE_REASON_ROLLBACK_ATTEMPT, old_director, old_image);
  v1::InstallHeader old_images = offer_.Header();
  *old_images.mutable_image_metadata() = old_offer.image_metadata();
  ExpectRefused(common::v1::FAILURE_REASON_ROLLBACK_ATTEMPT, old_images, offer_.image);
  ExpectRefused(common::v1::FAILURE_REASON_ROLLBACK_ATTEMPT, old_offer, old_image);
  ExpectWorks();
}

// Attack: freeze.
TEST_F(DeviceTest, RefusesExpiredMetadataOfEitherRepository) {
  offer_.images.timestamp.expires = clock_.Now() + absl::Hours(48);
  offer_.Publish();
  ExpectOnlyBytesRefused();
  clock_.Advance(absl::Hours(25));  // the Director's timestamp has a day
  ExpectRefused(common::v1::FAILURE_REASON_SIGNATURE_INVALID);
  offer_.director.timestamp.expires = clock_.Now() + absl::Hours(48);
  offer_.Publish();
  ExpectOnlyBytesRefused();
  clock_.Advance(absl::Hours(24));  // now the image repository's is over
  ExpectRefused(common::v1::FAILURE_REASON_SIGNATURE_INVALID);
}

// Attack: image rollback, by everybody who may sign.
TEST_F(DeviceTest, RefusesAReleaseCounterThatFalls) {
  ExpectWorks();
  offer_.Release("an older image with a known hole", 1, "9.0.0");
  ExpectRefused(common::v1::FAILURE_REASON_ROLLBACK_ATTEMPT);
  offer_.Release("back to what it did before", 3, "1.0.0");
  ExpectWorks();
  EXPECT_EQ(component().running().version, "1.0.0");
}

// FOTA-R5
TEST_F(DeviceTest, MessagesOutOfOrderAreRefusedAndDoNoHarm) {
  v1::InstallImageRequest header, data, nothing;
  *header.mutable_header() = offer_.Header();
  data.set_data(offer_.image);
  const std::map<std::string, std::string> before = WhatMustNotChange();
  const std::vector<std::vector<v1::InstallImageRequest>> transfers = {{},
                                                                       {nothing},
                                                                       {data},
                                                                       {data, header},
                                                                       {header, header},
                                                                       {header, header, data},
                                                                       {header, nothing, data}};
  for (const std::vector<v1::InstallImageRequest>& messages : transfers) {
    const v1::InstallImageResponse response = SendRaw(messages);
    EXPECT_FALSE(response.installed());
    EXPECT_EQ(response.failure_reason(), common::v1::FAILURE_REASON_UNSUPPORTED_PACKAGE)
        << response.failure_detail();
    EXPECT_EQ(WhatMustNotChange(), before);
  }
  EXPECT_EQ(reboots_, 0);
  ExpectWorks();
}

// FOTA-R5
TEST_F(DeviceTest, MetadataThatIsNoneIsRefusedAndDoesNoHarm) {
  for (const char* garbage : {"", "{}", "[", "\xff\xfe", "{\"signed\":{},\"signatures\":[]}"}) {
    v1::InstallHeader header = offer_.Header();
    for (v1::MetadataFile& file : *header.mutable_director_metadata()) file.set_content(garbage);
    EXPECT_FALSE(Send(header, offer_.image).installed());
    header = offer_.Header();
    for (v1::MetadataFile& file : *header.mutable_image_metadata()) file.set_content(garbage);
    EXPECT_FALSE(Send(header, offer_.image).installed());
    header.clear_director_metadata();
    EXPECT_FALSE(Send(header, offer_.image).installed());
  }
  ExpectWorks();
}

// FOTA-R5
TEST_F(DeviceTest, AnActivationThatNobodyPreparedChangesNothing) {
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED");
  const std::map<std::string, std::string> before = WhatMustNotChange();
  EXPECT_THAT(Activate(offer_.approved().sha256), refused);
  EXPECT_THAT(Activate(""), refused);
  EXPECT_THAT(Activate(crypto::Sha256Hex(kFactoryImage)), refused);  // it is there, but in the running slot
  ExpectInstalls();
  EXPECT_THAT(Activate(crypto::Sha256Hex("another")), refused);
  EXPECT_THAT(Activate(""), refused);
  EXPECT_THAT(Activate(offer_.approved().sha256, kOtherEcu), refused);
  EXPECT_EQ(reboots_, 0);
  EXPECT_EQ(WhatMustNotChange(), before);
  Boot();
  EXPECT_EQ(component().running().version, "1.0.0");
  EXPECT_OK(Activate(offer_.approved().sha256)) << "what was installed is still there";
}

// FOTA-R5: half an image is none, and the transfer begins anew.
TEST_F(DeviceTest, ACutTransferLeavesNothingToActivate) {
  {
    grpc::ClientContext context;
    v1::InstallImageResponse response;
    const auto writer = stub_->InstallImage(&context, &response);
    v1::InstallImageRequest request;
    *request.mutable_header() = offer_.Header();
    ASSERT_TRUE(writer->Write(request));
    request.set_data(offer_.image.substr(0, 4));
    ASSERT_TRUE(writer->Write(request));
    context.TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_THAT(Activate(offer_.approved().sha256),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED"));
  ExpectWorks();
}

class ConstrainedDeviceTest : public DeviceTest {
 protected:
  ConstrainedDeviceTest() : DeviceTest(/*constrained=*/true) {}
};

// FOTA-K: the gateway verifies and signs for it.
TEST_F(ConstrainedDeviceTest, InstallsWhatItsGatewayOffersAndReportsWithoutASignature) {
  EXPECT_TRUE(Describe().constrained());
  offer_.director.files[trust::MetadataFilename("targets", offer_.director.targets.version)] =
      offer_.director.targets.ToEnvelope().Serialise();
  ExpectWorks();
  ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope, trust::Envelope::Parse(Reports("nonce").at(0)));
  EXPECT_THAT(envelope.signatures(), ::testing::IsEmpty());
  ASSERT_OK_AND_ASSIGN(const trust::VersionReport report, trust::VersionReport::Parse(envelope));
  EXPECT_TRUE(report.proxied);
  EXPECT_EQ(report.version, "2.0.0");
  EXPECT_EQ(report.nonce, "nonce");
}

// FOTA-R1, FOTA-K: length and digest are all that it can check.
TEST_F(ConstrainedDeviceTest, RefusesOtherBytesThanItsGatewayAnnounced) {
  std::string altered = offer_.image;
  altered[0] ^= 1;
  ExpectRefused(common::v1::FAILURE_REASON_INTEGRITY, offer_.Header(), altered);
  ExpectRefused(common::v1::FAILURE_REASON_INTEGRITY, offer_.Header(), offer_.image + "x");
  ExpectRefused(common::v1::FAILURE_REASON_INTEGRITY, offer_.Header(), offer_.image.substr(1));
  ExpectWorks();
}

TEST_F(ConstrainedDeviceTest, RefusesWhatTheDirectorDoesNotName) {
  v1::InstallHeader header = offer_.Header();
  header.mutable_image()->set_target_path("acme/lamp/other.bin");
  ExpectRefused(common::v1::FAILURE_REASON_NOT_APPROVED, header, offer_.image);
  header = offer_.Header();
  header.clear_director_metadata();
  ExpectRefused(common::v1::FAILURE_REASON_NOT_APPROVED, header, offer_.image);
}

}  // namespace
}  // namespace countersign::device
