// What a device installs is what both repositories vouch for, to the byte.
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/testing/status_matchers.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"
#include "tools/device/test_device.h"

namespace countersign::device {
namespace {

using common::v1::FailureReason;
using trust::SignedBytes;

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

}  // namespace
}  // namespace countersign::device
