#include "common/rpc/key_watch.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/testing/echo_server_test.h"
#include "common/status/errors.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A key in hardware that can be pulled out, or fall silent.
class RemovableKey : public crypto::Signer {
 public:
  absl::StatusOr<std::string> Sign(absl::string_view message) const override { return key_.Sign(message); }
  const crypto::PublicKey& public_key() const override { return key_.public_key(); }
  absl::Status Check() const override {
    absl::MutexLock lock(&mutex_);
    ++checks_;
    mutex_.Await(absl::Condition(
        +[](const RemovableKey* key) { return !key->silent_; }, this));
    return removed_ ? Error(absl::StatusCode::kUnavailable, "TOKEN_ABSENT", "pulled out") : absl::OkStatus();
  }

  void Remove() { Set(&removed_, true); }
  void Insert() { Set(&removed_, false); }
  void FallSilent() { Set(&silent_, true); }
  void Speak() { Set(&silent_, false); }

  // Returns when `count` more checks have begun.
  void AwaitChecks(int count) const {
    absl::MutexLock lock(&mutex_);
    awaited_ = checks_ + count;
    mutex_.Await(absl::Condition(
        +[](const RemovableKey* key) { return key->checks_ >= key->awaited_; }, this));
  }

 private:
  void Set(bool* flag, bool value) {
    absl::MutexLock lock(&mutex_);
    *flag = value;
  }

  const crypto::PemSigner key_ = crypto::PemSigner::Generate(crypto::KeyType::kEd25519).value();
  mutable absl::Mutex mutex_;
  mutable int checks_ = 0, awaited_ = 0;
  bool removed_ = false, silent_ = false;
};

class KeyWatchTest : public testing::EchoServerTest {
 protected:
  KeyWatchTest() {
    server_.Prepare([this](Server& server) {
      watch_.emplace(server, std::vector<KeyWatch::Key>{{"snapshot", snapshot_}, {"timestamp", timestamp_}},
                     KeyWatch::Options{.interval = absl::Milliseconds(1), .clock = &clock_});
    });
    Start();
  }
  ~KeyWatchTest() override {
    server_.server().Drain();
    watch_.reset();
  }

  // What the last round found is known when the first key is asked for the third time.
  void AwaitRound() { snapshot_->AwaitChecks(3); }
  int Ready(std::string* body = nullptr) {
    int code = 0;
    const std::string text = server_.HttpGet("/readyz", &code);
    if (body != nullptr) *body = text;
    return code;
  }
  bool Serving() {
    const absl::StatusOr<std::string> answer = RawCall("/grpc.health.v1.Health/Check", "");
    EXPECT_OK(answer);
    return answer.value_or("") == "\x08\x01";  // HealthCheckResponse{status: SERVING}
  }

  FakeClock clock_;
  const std::shared_ptr<RemovableKey> snapshot_ = std::make_shared<RemovableKey>();
  const std::shared_ptr<RemovableKey> timestamp_ = std::make_shared<RemovableKey>();
  std::optional<KeyWatch> watch_;
};

TEST_F(KeyWatchTest, AServiceWithItsKeysIsReady) {
  AwaitRound();
  EXPECT_EQ(Ready(), 200);
  EXPECT_TRUE(Serving());
  EXPECT_THAT(server_.HttpGet("/metrics"),
              AllOf(HasSubstr("countersign_signing_key_available{key=\"snapshot\"} 1\n"),
                    HasSubstr("countersign_signing_key_losses_total{key=\"timestamp\"} 0\n")));
}

TEST_F(KeyWatchTest, ALossIsToldAndSoIsTheReturn) {
  for (int times = 1; times <= 2; ++times) {
    timestamp_->Remove();
    AwaitRound();
    std::string body;
    EXPECT_EQ(Ready(&body), 503);
    EXPECT_THAT(body, AllOf(HasSubstr("timestamp"), HasSubstr("pulled out")));
    EXPECT_FALSE(Serving());
    EXPECT_OK(Echo(*StubAs(testing::Anna()), "what needs no signature goes on"));
    EXPECT_THAT(server_.HttpGet("/metrics"),
                AllOf(HasSubstr("countersign_signing_key_available{key=\"snapshot\"} 1\n"),
                      HasSubstr("countersign_signing_key_available{key=\"timestamp\"} 0\n"),
                      HasSubstr(absl::StrCat("countersign_signing_key_losses_total{key=\"timestamp\"} ",
                                             times, "\n"))));
    timestamp_->Insert();
    AwaitRound();
    EXPECT_EQ(Ready(), 200);
    EXPECT_TRUE(Serving());
  }
}

TEST_F(KeyWatchTest, ATokenThatDoesNotAnswerIsNotReady) {
  snapshot_->FallSilent();
  snapshot_->AwaitChecks(1);
  EXPECT_EQ(Ready(), 200) << "it may only be slow";
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(Ready(), 503);
  snapshot_->Speak();
  AwaitRound();
  EXPECT_EQ(Ready(), 200);
}

}  // namespace
}  // namespace countersign::rpc
