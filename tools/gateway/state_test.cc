#include "tools/gateway/state.h"

#include <filesystem>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "common/trust/test_repository.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::gateway {
namespace {

class StateTest : public ::testing::Test {
 protected:
  StateTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~StateTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<State> Open() {
    auto state = State::Open(folder_);
    EXPECT_OK(state);
    return *std::move(state);
  }

  const std::string folder_;
};

TEST_F(StateTest, AManifestCounterNeverComesBack) {
  EXPECT_THAT(Open()->NextManifestCounter(), IsOkAndHolds(1));
  EXPECT_THAT(Open()->NextManifestCounter(), IsOkAndHolds(2));
  EXPECT_THAT(Open()->NextManifestCounter(41), IsOkAndHolds(41));
  EXPECT_THAT(Open()->NextManifestCounter(1), IsOkAndHolds(42));
}

TEST_F(StateTest, ACounterThatCannotBeReadIsNotGuessed) {
  const auto state = Open();
  ASSERT_OK(WriteFileAtomically(folder_ + "/manifest-counter", "many"));
  EXPECT_THAT(state->NextManifestCounter(), StatusIs(absl::StatusCode::kDataLoss, "STATE_DAMAGED"));
}

TEST_F(StateTest, ComponentsAndAttemptsOutliveTheProcess) {
  const Attempt attempt = {.sha256 = std::string(64, 'a'),
                           .director_version = 7,
                           .stage = Attempt::Stage::kActivating,
                           .cuts = 2,
                           .activate_time = absl::FromUnixSeconds(1767225600),
                           .rolled_back_before = true,
                           .phase = common::v1::UPDATE_PHASE_FAILED,
                           .reason = common::v1::FAILURE_REASON_INTEGRITY,
                           .detail = "what \"it\" said",
                           .reported = true};
  {
    const auto state = Open();
    ASSERT_OK(state->SaveComponents({{"T-1", {"t1-a", 3, "digest"}}}));
    ASSERT_OK(state->SaveAttempt("T-1", attempt));
    ASSERT_OK(state->SaveAttempt("T-2", attempt));
    ASSERT_OK(state->RemoveAttempt("T-2"));
    ASSERT_OK(state->RemoveAttempt("T-3"));
  }
  const auto state = Open();
  EXPECT_EQ(state->components().at("T-1"), (KnownComponent{"t1-a", 3, "digest"}));
  ASSERT_NE(state->FindAttempt("T-1"), nullptr);
  EXPECT_EQ(*state->FindAttempt("T-1"), attempt);
  EXPECT_EQ(state->FindAttempt("T-2"), nullptr);
}

TEST_F(StateTest, ComponentsFromBeforeTheirImagesWereKeptAreKnown) {
  Open();
  ASSERT_OK(WriteFileAtomically(folder_ + "/components.json",
                                R"({"T-1": {"hardware_id": "t1-a", "release_counter": 3}})"));
  EXPECT_EQ(Open()->components().at("T-1"), (KnownComponent{"t1-a", 3}));
}

TEST_F(StateTest, ATextThatIsNoUtf8DoesNotStopTheGateway) {
  ASSERT_OK(Open()->SaveAttempt("T-1", {.detail = "\xff\xfe"}));
  EXPECT_NE(Open()->FindAttempt("T-1"), nullptr);
}

TEST_F(StateTest, WhatCannotBeReadIsNamed) {
  Open();
  for (const char* file : {"attempts.json", "components.json"}) {
    for (const char* content : {"", "[]", "{\"T-1\": 1}", "{\"T-1\": {\"stage\": \"x\"}}"}) {
      ASSERT_OK(WriteFileAtomically(absl::StrCat(folder_, "/", file), content));
      const absl::Status status = State::Open(folder_).status();
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, "STATE_DAMAGED")) << content;
      EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(file));
    }
    ASSERT_OK(RemoveFile(absl::StrCat(folder_, "/", file)));
  }
}

TEST_F(StateTest, ASecondAgentIsKeptOff) {
  const auto first = Open();
  ASSERT_OK(first->LockForAgent());
  EXPECT_THAT(Open()->LockForAgent(), StatusIs(absl::StatusCode::kFailedPrecondition, "ALREADY_RUNNING"));
}

TEST_F(StateTest, EveryRootIsKeptForDevicesThatWereSwitchedOff) {
  trust::TestRepository repository(absl::FromUnixSeconds(1767225600));
  trust::Root second = repository.root;
  second.version = 2;
  {
    const auto state = Open();
    ASSERT_OK(state->director().Save("root", repository.first_root));
    ASSERT_OK(state->director().Save("root", second.ToEnvelope().Serialise()));
  }
  const auto state = Open();
  const auto roots = state->director().Roots();
  ASSERT_OK(roots);
  EXPECT_THAT(*roots,
              ::testing::ElementsAre(::testing::Pair("1.root.json", repository.first_root),
                                     ::testing::Pair("2.root.json", second.ToEnvelope().Serialise())));
  EXPECT_EQ(**state->director().Load("root"), second.ToEnvelope().Serialise());
  EXPECT_TRUE(state->images().Roots()->empty());
}

}  // namespace
}  // namespace countersign::gateway
