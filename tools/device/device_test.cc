// Installing, booting, and what the link may bring (see verification_test.cc for the metadata).
#include <map>
#include <string>
#include <vector>

#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/rpc/status_grpc.h"
#include "common/testing/status_matchers.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"
#include "gmock/gmock.h"
#include "tools/device/test_device.h"

namespace countersign::device {
namespace {

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
  ConstrainedDeviceTest() : DeviceTest({.constrained = true}) {}
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
