// FOTA-P2, FOTA-R5: the power is cut at any moment of a transfer, a confirmation, an activation, a boot, a
// commit, a revert or a report. The device always comes up with the old image or the new one, whole; what it
// has acknowledged holds; no report counter comes twice, and the release counter's floor never falls.
//
// COUNTERSIGN_POWER_CUTS says how many cuts, COUNTERSIGN_SEED repeats the choices of a run.
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/pkcs11/testing/soft_hsm.h"
#include "common/file/file.h"
#include "common/status/macros.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "tools/device/boot.h"
#include "tools/device/test_process.h"

namespace countersign::device {
namespace {

constexpr uint32_t kDefaultCuts = 60;
constexpr size_t kImageBytes = 256 << 10;

uint32_t FromEnvironment(const char* name, uint32_t otherwise) {
  uint32_t value = 0;
  const char* const text = std::getenv(name);
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

// What the gateway heard before the power went, and may rely on.
struct Heard {
  bool confirmed = false;
  bool committed = false;
  bool reverted = false;
};

class PowerTest : public ProcessTest {
 protected:
  PowerTest() : seed_(FromEnvironment("COUNTERSIGN_SEED", std::random_device()())), random_(seed_) {}

  double Share(double most) { return std::uniform_real_distribution<>(0, most)(random_); }

  void PowerOn() {
    // Without a card the approval cannot be checked: each image waits for its user.
    Start({"--card", hsm_.Uri("card"), "--approval-policy", "ask-user"});
  }
  void Release() {
    std::string image(kImageBytes, '\0');
    for (char& byte : image) byte = static_cast<char>(random_());
    ++releases_;
    offer_.Release(image, releases_ + 1, absl::StrCat(releases_, ".0.0"));
  }
  std::string Offered() { return offer_.approved().sha256; }

  // What a gateway does for one update. Each step may fail at any time; what the device says while it can
  // must be right.
  Heard Update(bool bundle, bool revert) {
    Heard heard;
    Report().status().IgnoreError();
    const absl::StatusOr<v1::InstallImageResponse> response =
        Transfer(*Connect(), offer_.Header(), offer_.image);
    if (!response.ok()) return heard;
    EXPECT_TRUE(response->installed()) << response->failure_detail();
    heard.confirmed = Confirm(Offered()).ok();
    Report().status().IgnoreError();
    if (!Activate(Offered(), bundle ? "bundle" : "").ok()) return heard;
    // Until it is up again, or the power is gone.
    const absl::Time end = absl::Now() + kPatience;
    while (!dark_ && absl::Now() < end) {
      const absl::StatusOr<v1::ComponentDescription> description = Describe();
      if (description.ok() && description->last_update_sha256() == Offered()) break;
    }
    if (bundle && !dark_) {
      heard.reverted = revert && Revert(Offered()).ok();
      heard.committed = !revert && Commit(Offered()).ok();
    }
    Report().status().IgnoreError();
    return heard;
  }

  // What is on the disk is what the device says: the image that runs is whole, the floor has not fallen.
  void ExpectTrueToItsDisk(const trust::VersionReport& report) {
    const nlohmann::json boot = nlohmann::json::parse(ReadFile(ComponentFolder() + "/boot.json").value());
    const Slot active = boot.at("active") == "a" ? Slot::kA : Slot::kB;
    const BootState state = {.active = active, .stage = boot.at("stage").get<Stage>()};
    const std::string slot = RunningSlot(state) == Slot::kA ? "/slot-a/image" : "/slot-b/image";
    EXPECT_EQ(crypto::Sha256Hex(ReadFile(ComponentFolder() + slot).value()), report.sha256);
    const int64_t floor = boot.at("release_floor");
    EXPECT_GE(floor, floor_);
    floor_ = floor;
    if (state.stage != Stage::kProvisional) {
      EXPECT_GE(floor, report.release_counter);
    }
  }

  // The device is up and settled, or settles now, whatever cuts come meanwhile; its report.
  absl::StatusOr<trust::VersionReport> Settle() {
    for (;;) {
      if (!AwaitUp()) return absl::UnavailableError("the device does not come up");
      ASSIGN_OR_RETURN(const v1::ComponentDescription description, Describe());
      if (!description.provisional()) break;
      ++provisional_;
      const std::string image = description.last_update_sha256();
      const bool commit = random_() % 2 == 0;
      std::thread cut([&] {
        if (random_() % 2 == 0) return;
        absl::SleepFor(Share(1) * commit_);
        kill(child_, SIGKILL);
      });
      const bool done = commit ? Commit(image).ok() : Revert(image).ok();
      cut.join();
      Kill(SIGKILL);
      PowerOn();
      if (!done) continue;
      if (!AwaitUp()) return absl::UnavailableError("the device does not come up");
      ASSIGN_OR_RETURN(const trust::VersionReport report, Report());
      EXPECT_EQ(report.sha256 == image, commit) << "what was acknowledged does not hold";
    }
    return Report();
  }

  const uint32_t seed_;
  std::mt19937 random_;
  crypto::pkcs11::testing::SoftHsm hsm_;
  std::atomic<bool> dark_ = false;
  int releases_ = 0;
  int64_t floor_ = 0;
  int provisional_ = 0;
  absl::Duration commit_ = absl::Milliseconds(20);
};

TEST_F(PowerTest, SurvivesAPowerCutAtAnyMoment) {
  const uint32_t cuts = FromEnvironment("COUNTERSIGN_POWER_CUTS", kDefaultCuts);
  std::cout << "COUNTERSIGN_SEED=" << seed_ << " COUNTERSIGN_POWER_CUTS=" << cuts << std::endl;
  RecordProperty("seed", absl::StrCat(seed_));
  PowerOn();
  ASSERT_TRUE(AwaitUp());
  // One update without a cut tells how long one takes here.
  Release();
  const absl::Time start = absl::Now();
  ASSERT_TRUE(Update(/*bundle=*/true, /*revert=*/false).committed);
  const absl::Duration whole = absl::Now() - start;
  std::string running = Offered();

  int kept = 0, updated = 0;
  for (uint32_t round = 0; round < cuts; ++round) {
    SCOPED_TRACE(absl::StrCat("round ", round));
    Release();
    const bool bundle = random_() % 2 == 0, revert = random_() % 2 == 0;
    Heard heard;
    dark_ = false;
    std::thread gateway([&] { heard = Update(bundle, revert); });
    absl::SleepFor(whole * Share(1.1));
    dark_ = true;
    Kill(SIGKILL);
    gateway.join();
    PowerOn();
    if (random_() % 3 == 0) {  // and once more while it boots
      absl::SleepFor(whole * Share(0.3));
      Kill(SIGKILL);
      PowerOn();
    }
    ASSERT_TRUE(AwaitUp());
    ASSERT_OK_AND_ASSIGN(const trust::VersionReport first, Report());
    EXPECT_THAT(first.sha256, ::testing::AnyOf(running, Offered()));
    ExpectTrueToItsDisk(first);
    ASSERT_OK_AND_ASSIGN(const v1::ComponentDescription description, Describe());
    if (heard.confirmed) {
      EXPECT_EQ(description.awaits_confirmation_sha256(), "");
    }
    if (heard.committed) {
      EXPECT_EQ(first.sha256, Offered());
    }
    if (heard.reverted) {
      EXPECT_EQ(first.sha256, running);
    }
    if (heard.committed || heard.reverted) {
      EXPECT_FALSE(description.provisional());
    }
    if (first.sha256 == Offered()) {
      EXPECT_TRUE(first.approval_override) << "it runs by its user's word";
    }
    ASSERT_OK_AND_ASSIGN(const trust::VersionReport settled, Settle());
    EXPECT_THAT(settled.sha256, ::testing::AnyOf(running, Offered()));
    ExpectTrueToItsDisk(settled);
    EXPECT_EQ(settled.attacks_detected, "");
    ++(settled.sha256 == Offered() ? updated : kept);
    running = settled.sha256;
    if (HasFailure()) break;
  }
  RecordProperty("rounds_with_the_old_image", kept);
  RecordProperty("rounds_with_the_new_image", updated);
  std::cout << kept << " rounds ended with the old image, " << updated << " with the new one; "
            << provisional_ << " provisional runs were cut\n";
  // It still takes an update.
  Release();
  dark_ = false;
  EXPECT_TRUE(Update(/*bundle=*/true, /*revert=*/false).committed);
}

}  // namespace
}  // namespace countersign::device
