// Orders to stop, obeyed and not (FOTA-R3); and what is told of it and of others (FOTA-R5).
#include "tools/gateway/quarantine.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/crypto/signer.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/gateway/agent.h"
#include "tools/gateway/fake_device.h"

namespace countersign::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class QuarantineTest : public ::testing::Test {
 protected:
  QuarantineTest() {
    std::string folder = "/tmp/quarantine-XXXXXX";  // short: a socket's path has at most 107 characters
    folder_ = mkdtemp(folder.data());
    EXPECT_OK(MakeDirectories(folder_ + "/lan"));
    key_ = std::make_shared<crypto::PemSigner>(*crypto::PemSigner::Generate(crypto::KeyType::kEd25519));
    device_ = std::make_unique<FakeDevice>(
        folder_ + "/lan", "lamp",
        std::map<std::string, FakeComponent>{{"L-1", {.key = key_}}, {"L-2", {.key = key_}}});
    state_ = *State::Open(folder_ + "/state");
    hook_ = folder_ + "/hook";
    EXPECT_OK(
        WriteFileAtomically(hook_, absl::StrCat("#!/bin/sh\necho \"$*\" >> ", folder_, "/called\n"), 0755));
  }
  ~QuarantineTest() override {
    device_.reset();
    std::filesystem::remove_all(folder_);
  }

  bool Apply(const std::set<std::string>& ordered) {
    const Survey survey = SurveyDevices(*ListSockets(folder_ + "/lan"), {}, "n", nullptr, incidents_);
    device::v1::ApplyOrdersRequest orders;
    std::string serials;
    for (const std::string& serial : ordered)
      absl::StrAppend(&serials, serials.empty() ? "" : ",", "\"", serial, "\"");
    orders.add_director_metadata()->set_content(absl::StrCat(R"({"quarantine":[)", serials, "]}"));
    return Quarantine(hook_, &incidents_, state_.get()).Apply(ordered, orders, survey.components);
  }
  std::string Called() { return ReadFile(folder_ + "/called").value_or(""); }

  std::string folder_, hook_;
  std::shared_ptr<const crypto::Signer> key_;
  std::unique_ptr<FakeDevice> device_;
  std::unique_ptr<State> state_;
  Incidents incidents_;
};

TEST_F(QuarantineTest, ADeviceIsHandedTheOrderOnceAndItsChangeIsNews) {
  EXPECT_FALSE(Apply({}));
  EXPECT_TRUE(Apply({"L-1"}));
  EXPECT_TRUE(device_->Get("L-1").quarantined);
  EXPECT_FALSE(device_->Get("L-2").quarantined);
  EXPECT_FALSE(Apply({"L-1"})) << "it is as ordered";
  EXPECT_TRUE(Apply({}));
  EXPECT_FALSE(device_->Get("L-1").quarantined);
  EXPECT_THAT(incidents_.pending(), IsEmpty());
  EXPECT_EQ(Called(), "");
}

TEST_F(QuarantineTest, ADeviceThatDoesNotObeyIsReportedAndCutOffUntilTheOrderIsGone) {
  device_->With([](auto& all) { all["L-1"].obeys = false; });
  EXPECT_FALSE(Apply({"L-1"}));
  ASSERT_THAT(incidents_.pending(), SizeIs(1));
  EXPECT_EQ(incidents_.pending()[0].reason, "QUARANTINE_NOT_OBEYED");
  EXPECT_EQ(incidents_.pending()[0].ecu_serial, "L-1");
  EXPECT_EQ(Called(), "cut lamp L-1\n");
  // It stays so over a restart, and the program is not asked twice.
  state_ = *State::Open(folder_ + "/state");
  EXPECT_THAT(state_->cut_off(), ElementsAre("L-1"));
  Apply({"L-1"});
  EXPECT_EQ(Called(), "cut lamp L-1\n");
  Apply({});
  EXPECT_EQ(Called(), "cut lamp L-1\nrestore  L-1\n");
  EXPECT_THAT(state_->cut_off(), IsEmpty());
}

TEST_F(QuarantineTest, AProgramThatFailsIsAskedAgain) {
  device_->With([](auto& all) { all["L-1"].obeys = false; });
  ASSERT_OK(WriteFileAtomically(hook_, "#!/bin/sh\nexit 1\n", 0755));
  Apply({"L-1"});
  EXPECT_THAT(state_->cut_off(), IsEmpty());
  hook_ = folder_ + "/none";
  Apply({"L-1"});
  EXPECT_THAT(state_->cut_off(), IsEmpty());
}

TEST(IncidentsTest, AFloodIsOneIncidentAndTooManyKindsAreCountedTogether) {
  Incidents incidents;
  EXPECT_FALSE(incidents.TakeNews());
  for (int i = 0; i < 1000; ++i)
    incidents.Note("DEVICE_NONSENSE", "lamp\n\x01", "", std::string(5000, '\xff'));
  EXPECT_TRUE(incidents.TakeNews());
  ASSERT_THAT(incidents.pending(), SizeIs(1));
  EXPECT_EQ(incidents.pending()[0].count, 1000);
  EXPECT_EQ(incidents.pending()[0].device_id, "lamp??");
  EXPECT_LE(incidents.pending()[0].detail.size(), 512u);
  for (int i = 0; i < 100; ++i) incidents.Note("DEVICE_NONSENSE", absl::StrCat("lamp-", i), "", "");
  EXPECT_THAT(incidents.pending(), SizeIs(trust::GatewayManifest::kMaxIncidents));
  const auto told = incidents.pending();
  incidents.Note("DEVICE_NONSENSE", "lamp-0", "", "");
  incidents.Reported(told);
  ASSERT_THAT(incidents.pending(), SizeIs(1)) << "what came meanwhile is still to be told";
  EXPECT_EQ(incidents.pending()[0].count, 1);
  incidents.Note("DEVICE_NONSENSE", "lamp-0", "", "");
  EXPECT_FALSE(incidents.TakeNews()) << "the server knows of it";
}

TEST(HintBudgetTest, AFloodOfHintsIsFollowedNowAndThen) {
  HintBudget budget;
  absl::Time now = absl::FromUnixSeconds(1767225600);
  for (int i = 0; i < HintBudget::kBurst; ++i) EXPECT_TRUE(budget.Take(now)) << i;
  int followed = 0;
  for (int i = 0; i < 600; ++i) followed += budget.Take(now += absl::Milliseconds(100));
  EXPECT_EQ(followed, 6);
  EXPECT_FALSE(budget.Take(now));
  EXPECT_TRUE(budget.flooded());
  EXPECT_TRUE(budget.Take(now + absl::Hours(1)));
  EXPECT_FALSE(budget.flooded());
}

}  // namespace
}  // namespace countersign::gateway
