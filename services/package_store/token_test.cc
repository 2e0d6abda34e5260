// FOTA-R4: the online roles' keys on a token that several processes share, that is pulled out and comes back,
// and whose keys are replaced.

#include <httplib.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/crypto/pkcs11/keys.h"
#include "common/crypto/pkcs11/testing/soft_hsm.h"
#include "common/rpc/channel.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "common/trust/keys.h"
#include "common/trust/metadata.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "services/package_store/testing/calls.h"
#include "services/package_store/testing/program.h"
#include "services/package_store/testing/publisher.h"

namespace countersign::package_store {
namespace {

using crypto::KeyType;
using crypto::PublicKey;
using crypto::pkcs11::testing::SoftHsm;
using rpc::Identity;
using rpc::Role;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Program;
using testing::Publisher;
using testing::PublishRoot;
using testing::PublishTargets;
using testing::StorePlace;
using testing::TestStore;
namespace v1 = ::countersign::package_store::v1;

const Identity kOperator{Role::kOperator, "op"};

class TokenTest : public ::testing::Test {
 protected:
  TokenTest() : publisher_(SystemClock().Now()) { hsm_.AddToken("store"); }

  // A key on the token that the next roots name for `role`.
  PublicKey Make(const std::string& name, const std::string& role, KeyType type) {
    PublicKey key = crypto::pkcs11::GenerateKey(hsm_.Uri("store", name), type).value();
    publisher_.more_online_keys.emplace_back(role, key);
    return key;
  }
  StorePlace Place(const std::string& timestamp_key = "timestamp") {
    StorePlace place(publisher_);
    place.snapshot_key = hsm_.Uri("store", "snapshot");
    place.timestamp_key = hsm_.Uri("store", timestamp_key);
    return place;
  }

  absl::Status PublishTheTargets(const Program& program, int64_t version) {
    return PublishTargets(*program.As(kOperator), publisher_.TopTargets(version, {"acme"}));
  }

  static trust::Envelope Get(v1::PackageStoreService::Stub& stub, const std::string& name) {
    v1::GetMetadataRequest request;
    request.set_file_name(name);
    v1::MetadataFile file;
    rpc::CallContext context(absl::Seconds(30));
    EXPECT_OK(rpc::FromGrpc(stub.GetMetadata(context.get(), request, &file)));
    const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(file.content());
    EXPECT_OK(envelope.status());
    return *envelope;
  }
  static std::vector<std::string> Signers(const trust::Envelope& envelope) {
    std::vector<std::string> key_ids;
    for (const trust::Signature& signature : envelope.signatures()) key_ids.push_back(signature.key_id);
    return key_ids;
  }
  static int64_t TimestampVersion(v1::PackageStoreService::Stub& stub) {
    return trust::Timestamp::Parse(Get(stub, "timestamp.json")).value().version;
  }

  static std::pair<int, std::string> Ask(const Program& program, const char* page) {
    const httplib::Result result = httplib::Client("127.0.0.1", program.http_port()).Get(page);
    return result ? std::pair(result->status, result->body) : std::pair(0, std::string());
  }
  // The program looks at its keys by itself, every few seconds.
  static std::string AwaitReadiness(const Program& program, int code) {
    std::pair<int, std::string> answer = Ask(program, "/readyz");
    while (answer.first != code) {
      absl::SleepFor(absl::Milliseconds(20));  // it needs the processor more than we do
      answer = Ask(program, "/readyz");
    }
    return answer.second;
  }

  SoftHsm hsm_;
  rpc::testing::TestPki pki_;
  Publisher publisher_;
};

TEST_F(TokenTest, TwoReplicasSignWithOneTokenLoseItAndGoOnWhenItIsBack) {
  const PublicKey snapshot = Make("snapshot", "snapshot", KeyType::kEd25519);
  const PublicKey timestamp = Make("timestamp", "timestamp", KeyType::kEcdsaP256);
  publisher_.token_log_key = crypto::pkcs11::GenerateKey(hsm_.Uri("store", "log"), KeyType::kEd25519).value();
  StorePlace place = Place();
  place.log_key = hsm_.Uri("store", "log");
  Program first(&pki_, place), second(&pki_, place);
  first.Start();
  second.Start();
  ASSERT_OK(PublishRoot(*first.As(kOperator), publisher_.Root()));
  ASSERT_OK(PublishTheTargets(first, 1));
  ASSERT_OK(PublishTheTargets(second, 2));
  EXPECT_THAT(Signers(Get(*first.As(kOperator), "timestamp.json")), ElementsAre(trust::KeyId(timestamp)));
  EXPECT_THAT(Signers(Get(*first.As(kOperator), "2.snapshot.json")), ElementsAre(trust::KeyId(snapshot)));

  hsm_.Remove();
  for (const Program* program : {&first, &second}) {
    EXPECT_THAT(AwaitReadiness(*program, 503), AllOf(HasSubstr("keys"), HasSubstr("token=store")));
    EXPECT_THAT(Ask(*program, "/metrics").second,
                AllOf(HasSubstr("countersign_signing_key_available{key=\"snapshot\"} 0\n"),
                      HasSubstr("countersign_signing_key_available{key=\"log\"} 0\n"),
                      HasSubstr("countersign_signing_key_losses_total{key=\"timestamp\"} 1\n")));
    EXPECT_EQ(Ask(*program, "/healthz").first, 200) << "nobody shall restart it";
    EXPECT_THAT(PublishTheTargets(*program, 3), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT(Signers(Get(*program->As(kOperator), "timestamp.json")), ElementsAre(trust::KeyId(timestamp)))
        << "what is signed is still served";
  }

  hsm_.Insert();
  AwaitReadiness(first, 200);
  AwaitReadiness(second, 200);
  ASSERT_OK(PublishTheTargets(first, 3));
  ASSERT_OK(PublishTheTargets(second, 4));
  EXPECT_THAT(Ask(first, "/metrics").second,
              AllOf(HasSubstr("countersign_signing_key_available{key=\"snapshot\"} 1\n"),
                    HasSubstr("countersign_signing_key_losses_total{key=\"snapshot\"} 1\n")));
  EXPECT_EQ(first.Stop(), 0);
  EXPECT_EQ(second.Stop(), 0);
}

TEST_F(TokenTest, AKeyIsReplacedByAnotherOnTheToken) {
  Make("snapshot", "snapshot", KeyType::kRsaPss);
  const PublicKey old_key = Make("timestamp", "timestamp", KeyType::kEcdsaP256);
  const StorePlace place = Place();
  StorePlace next = place;
  next.timestamp_key = hsm_.Uri("store", "timestamp-2");
  {
    Program program(&pki_, place);
    program.Start();
    ASSERT_OK(PublishRoot(*program.As(kOperator), publisher_.Root(1)));
    ASSERT_OK(PublishTheTargets(program, 1));
    // While the store runs: the new key beside the old one, on the token and in the root.
    Make("timestamp-2", "timestamp", KeyType::kEd25519);
    ASSERT_OK(PublishRoot(*program.As(kOperator), publisher_.Root(2)));
    EXPECT_EQ(program.Stop(), 0);
  }
  Program program(&pki_, next);
  program.Start();
  ASSERT_OK(PublishTheTargets(program, 2));
  std::erase_if(publisher_.more_online_keys, [&](const auto& entry) { return entry.second == old_key; });
  ASSERT_OK(PublishRoot(*program.As(kOperator), publisher_.Root(3)));
  ASSERT_OK(PublishTheTargets(program, 3));
  EXPECT_THAT(Signers(Get(*program.As(kOperator), "timestamp.json")),
              ElementsAre(trust::KeyId(publisher_.more_online_keys.back().second)));
}

TEST_F(TokenTest, RenewalStopsWithTheTokenAndResumesWithIt) {
  Make("snapshot", "snapshot", KeyType::kEd25519);
  Make("timestamp", "timestamp", KeyType::kEd25519);
  FakeClock clock(SystemClock().Now());
  TestStore store(&pki_);
  store.config().snapshot_key = hsm_.Uri("store", "snapshot");
  store.config().timestamp_key = hsm_.Uri("store", "timestamp");
  store.config().renewal_interval = absl::Milliseconds(5);
  store.config().clock = &clock;
  store.Start(publisher_);
  v1::PackageStoreService::Stub& stub = store.Stub(kOperator);
  ASSERT_OK(PublishRoot(stub, publisher_.Root()));
  ASSERT_OK(PublishTargets(stub, publisher_.TopTargets(1, {"acme"})));
  ASSERT_EQ(TimestampVersion(stub), 1);

  hsm_.Remove();
  clock.Advance(absl::Hours(13));  // half of a timestamp's life
  // Rounds fail and are tried again: one that publishes fails after them.
  EXPECT_THAT(PublishTargets(stub, publisher_.TopTargets(2, {"acme"})),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(TimestampVersion(stub), 1);

  hsm_.Insert();
  while (TimestampVersion(stub) == 1) {
  }
  // The other key's token is looked for once a second.
  absl::Status published;
  do {
    published = PublishTargets(stub, publisher_.TopTargets(2, {"acme"}));
  } while (absl::IsUnavailable(published));
  EXPECT_OK(published);
}

}  // namespace
}  // namespace countersign::package_store
