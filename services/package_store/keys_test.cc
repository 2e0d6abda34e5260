// What the keys of a repository are for: pending roles, rotation, recovery, and signing again on schedule.
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "common/trust/client.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "services/package_store/app.h"
#include "services/package_store/testing/calls.h"
#include "services/package_store/testing/publisher.h"

namespace countersign::package_store {
namespace {

using rpc::Identity;
using rpc::Role;
using testing::ImageSpec;
using testing::Publisher;
using testing::StoreFetcher;
using testing::TestStore;
namespace v1 = ::countersign::package_store::v1;

const Identity kAcme{Role::kManufacturer, "acme"};
const Identity kZeta{Role::kManufacturer, "zeta"};
const Identity kAuthority{Role::kAuthority, "ma"};
const Identity kOperator{Role::kOperator, "op"};
const Identity kGateway{Role::kGateway, "gw-1"};
const Identity kRollout{Role::kService, "rollout"};

constexpr char kPath[] = "acme/thermostat/thermostat-1.0.0.bin";

rpc::testing::TestPki& Pki() {
  static auto& pki = *new rpc::testing::TestPki();
  return pki;
}

absl::Time Now() { return SystemClock().Now(); }

// A store with root and targets that delegate to acme and zeta, each with a pending role.
class KeysTest : public ::testing::Test {
 protected:
  KeysTest() : publisher_(Now()), store_(&Pki()) { publisher_.with_pending = true; }

  void SetUp() override {
    Configure(store_.config());
    store_.Start(publisher_);
    publisher_.PublishAll(store_, {"acme", "zeta"});
  }
  virtual void Configure(Config&) {}

  absl::StatusOr<std::string> GetMetadata(const std::string& name) {
    return StoreFetcher(&store_.Stub(kGateway)).Fetch(name, 1 << 20);
  }
  trust::Timestamp GetTimestamp() {
    return *trust::Timestamp::Parse(*trust::Envelope::Parse(*GetMetadata("timestamp.json")));
  }
  absl::Status PublishTargets(const std::string& metadata) {
    return testing::PublishTargets(store_.Stub(kOperator), metadata);
  }
  absl::Status PublishPending(const std::string& metadata, const Identity& as = kAcme) {
    return testing::PublishPending(store_.Stub(as), "acme", metadata);
  }
  absl::Status PublishPending(const trust::Targets& role) {
    return PublishPending(publisher_.Sign("acme", role));
  }
  absl::StatusOr<trust::TargetFile> FindTarget(const std::string& path) {
    trust::MemoryStore trusted;
    StoreFetcher fetcher(&store_.Stub(kGateway));
    trust::RepositoryClient client(&fetcher, &trusted, *GetMetadata("1.root.json"));
    absl::Status refreshed = client.Refresh(Now());
    if (!refreshed.ok()) return refreshed;
    return client.FindTarget(path, Now());
  }
  static ImageSpec Image() { return {.path = kPath, .content = "firmware of a thermostat"}; }

  Publisher publisher_;
  TestStore store_;
  const ImageSpec beta_{.path = absl::StrCat("pending/", kPath), .content = "a beta of a thermostat"};
};

// SC-USE-7
TEST_F(KeysTest, AManufacturerPublishesAloneWhatIsNotApprovedAndItIsNoPackage) {
  publisher_.PublishImages(store_, "acme", {Image()});
  ASSERT_OK(store_.Upload(kAcme, "acme", beta_.content));
  const std::string sha256 = crypto::Sha256Hex(beta_.content);
  EXPECT_THAT(store_.Download(kGateway, sha256), StatusIs(absl::StatusCode::kNotFound));
  const int64_t snapshot = GetTimestamp().snapshot.version;
  const std::string metadata = publisher_.Sign("acme", publisher_.Role(1, {beta_}));
  ASSERT_OK(PublishPending(metadata));
  ASSERT_OK(PublishPending(metadata));  // the same again
  EXPECT_EQ(GetTimestamp().snapshot.version, snapshot + 1);
  EXPECT_THAT(GetMetadata("1.acme-pending.json"), IsOkAndHolds(metadata));
  ASSERT_OK_AND_ASSIGN(const trust::TargetFile target, FindTarget(beta_.path));
  EXPECT_THAT(store_.Download(kGateway, target.sha256), IsOkAndHolds(beta_.content));
  // Whoever asks for what is approved gets what was approved.
  ASSERT_OK_AND_ASSIGN(const trust::TargetFile approved, FindTarget(kPath));
  EXPECT_EQ(approved.sha256, crypto::Sha256Hex(Image().content));
  v1::GetPackageRequest get;
  get.set_target_path(beta_.path);
  v1::Package package;
  rpc::CallContext get_context(absl::Seconds(30));
  EXPECT_THAT(rpc::FromGrpc(store_.Stub(kRollout).GetPackage(get_context.get(), get, &package)),
              StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID"));
  v1::ListPackagesRequest list;
  list.set_parent("manufacturers/-");
  v1::ListPackagesResponse page;
  rpc::CallContext context(absl::Seconds(30));
  ASSERT_OK(rpc::FromGrpc(store_.Stub(kRollout).ListPackages(context.get(), list, &page)));
  ASSERT_EQ(page.packages_size(), 1);
  EXPECT_EQ(page.packages(0).target_path(), kPath);
  // What the next version does not list is not for gateways any more.
  ASSERT_OK(PublishPending(publisher_.Role(2, {})));
  EXPECT_THAT(store_.Download(kGateway, sha256), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(KeysTest, NobodyElsePublishesInItAndNothingElseStandsInIt) {
  ASSERT_OK(store_.Upload(kAcme, "acme", beta_.content));
  const trust::Targets good = publisher_.Role(1, {beta_});
  EXPECT_THAT(PublishPending(publisher_.Sign("zeta", good)),
              StatusIs(absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY"));
  EXPECT_THAT(PublishPending(good.ToEnvelope().Serialise()),
              StatusIs(absl::StatusCode::kInvalidArgument, "THRESHOLD_NOT_MET"));
  EXPECT_THAT(PublishPending(publisher_.Sign("acme", good), kZeta),
              StatusIs(absl::StatusCode::kPermissionDenied, "NOT_YOUR_MANUFACTURER"));
  for (const Identity& other : {kOperator, kAuthority, kGateway, kRollout}) {
    EXPECT_THAT(PublishPending(publisher_.Sign("acme", good), other),
                StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
  }
  // The approved paths need the authority, also when pending metadata names them.
  ImageSpec elsewhere = beta_;
  for (const std::string& path : {std::string(kPath), std::string("pending/zeta/door/d.bin"),
                                  std::string("pending/acme/t.bin"), std::string("pending/acme/a/b/c.bin")}) {
    elsewhere.path = path;
    EXPECT_THAT(PublishPending(publisher_.Role(1, {elsewhere})),
                StatusIs(absl::StatusCode::kInvalidArgument, "PATH_NOT_ALLOWED"))
        << path;
  }
  ImageSpec missing = beta_;
  missing.content = "never uploaded";
  EXPECT_THAT(PublishPending(publisher_.Role(1, {missing})),
              StatusIs(absl::StatusCode::kFailedPrecondition, "IMAGE_MISSING"));
  EXPECT_THAT(PublishPending(publisher_.Role(2, {beta_})),
              StatusIs(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"));
  trust::Targets expired = good;
  expired.expires = Now() - absl::Seconds(1);
  EXPECT_THAT(PublishPending(expired), StatusIs(absl::StatusCode::kInvalidArgument, "EXPIRED_METADATA"));
  EXPECT_THAT(GetMetadata("1.acme-pending.json"), StatusIs(absl::StatusCode::kNotFound));
  // Proposed as approved, a pending path is refused, too.
  EXPECT_THAT(
      testing::Propose(store_.Stub(kAcme), "acme", publisher_.Sign("acme", publisher_.Role(1, {beta_}))),
      StatusIs(absl::StatusCode::kInvalidArgument, "PATH_NOT_ALLOWED"));
  ASSERT_OK(PublishPending(good));

  publisher_.with_pending = false;
  ASSERT_OK(PublishTargets(publisher_.TopTargets(2, {"acme", "zeta"})));
  EXPECT_THAT(store_.Download(kGateway, crypto::Sha256Hex(beta_.content)),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(PublishPending(publisher_.Role(2, {beta_})),
              StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_DELEGATED"));
}

TEST_F(KeysTest, APendingRoleThatExpiredHoldsUpNobodyElse) {
  ASSERT_OK(store_.Upload(kAcme, "acme", beta_.content));
  trust::Targets role = publisher_.Role(1, {beta_});
  role.expires = Now() + absl::Hours(1);
  ASSERT_OK(PublishPending(role));
  publisher_.PublishImages(store_, "acme", {Image()});
  publisher_.PublishImages(store_, "zeta", {{.path = "zeta/door/d.bin", .content = "door"}});
  trust::MemoryStore trusted;
  StoreFetcher fetcher(&store_.Stub(kGateway));
  trust::RepositoryClient client(&fetcher, &trusted, *GetMetadata("1.root.json"));
  const absl::Time later = Now() + absl::Hours(2);
  ASSERT_OK(client.Refresh(later));
  EXPECT_OK(client.FindTarget(kPath, later));
  EXPECT_OK(client.FindTarget("zeta/door/d.bin", later));
  EXPECT_THAT(client.FindTarget(beta_.path, later),
              StatusIs(absl::StatusCode::kFailedPrecondition, "EXPIRED_METADATA"));
}

// What a mirror in a thief's hands serves: the store's files, and one of the thief's.
class ThievishFetcher : public trust::Fetcher {
 public:
  explicit ThievishFetcher(trust::Fetcher* store) : store_(store) {}
  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    if (filename == "timestamp.json" && !timestamp.empty()) return timestamp;
    return store_->Fetch(filename, max_length);
  }
  std::string timestamp;

 private:
  trust::Fetcher* const store_;
};

// Attack: a stolen timestamp key drives versions up, so that clients refuse what is new; recovery by the
// root.
TEST_F(KeysTest, AStolenTimestampKeyIsReplacedAndClientsRecoverFromTheVersionsItSigned) {
  StoreFetcher store(&store_.Stub(kGateway));
  ThievishFetcher mirror(&store);
  trust::MemoryStore trusted;
  trust::RepositoryClient client(&mirror, &trusted, *GetMetadata("1.root.json"));
  ASSERT_OK(client.Refresh(Now()));
  trust::Timestamp driven_up = client.timestamp();
  driven_up.version = trust::kMaxVersion;
  trust::Envelope forged = driven_up.ToEnvelope();
  ASSERT_OK(forged.Sign(publisher_.timestamp_key));
  mirror.timestamp = forged.Serialise();
  ASSERT_OK(client.Refresh(Now()));
  mirror.timestamp.clear();
  publisher_.PublishImages(store_, "acme", {Image()});
  ASSERT_THAT(client.Refresh(Now()), StatusIs(absl::StatusCode::kFailedPrecondition, "METADATA_ROLLBACK"));

  publisher_.timestamp_key = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  ASSERT_OK(WriteFileAtomically(store_.config().timestamp_key, publisher_.timestamp_key.ToPem(), 0600));
  store_.Restart();
  // Until the root lists the new key nothing is published, and what is published stays.
  EXPECT_THAT(PublishTargets(publisher_.TopTargets(2, {"acme", "zeta"})),
              StatusIs(absl::StatusCode::kFailedPrecondition, "ONLINE_KEY_NOT_LISTED"));
  EXPECT_OK(FindTarget(kPath));
  ASSERT_OK(testing::PublishRoot(store_.Stub(kOperator), publisher_.Root(2)));
  StoreFetcher restarted(&store_.Stub(kGateway));
  ThievishFetcher later_mirror(&restarted);
  trust::RepositoryClient after(&later_mirror, &trusted, *GetMetadata("1.root.json"));
  ASSERT_OK(after.Refresh(Now()));
  EXPECT_LT(after.timestamp().version, trust::kMaxVersion);
  EXPECT_OK(after.FindTarget(kPath, Now()));
  // The stolen key is worth nothing any more.
  later_mirror.timestamp = forged.Serialise();
  EXPECT_THAT(after.Refresh(Now()), StatusIs(absl::StatusCode::kInvalidArgument, "THRESHOLD_NOT_MET"));
}

class RenewalTest : public KeysTest {
 protected:
  RenewalTest() : clock_(Now()) {}
  void TearDown() override { store_.app().Stop(); }  // while there is a clock
  void Configure(Config& config) override {
    config.clock = &clock_;
    config.renewal_interval = absl::Milliseconds(5);
  }
  FakeClock clock_;
};

// Of two replicas one signs, and when it is gone the other.
TEST_F(RenewalTest, TwoReplicasRenewOnceAndOneAloneGoesOn) {
  TestStore second(&Pki(), store_.config().database, store_.config().blob_dir);
  second.config().clock = &clock_;
  second.config().renewal_interval = absl::Milliseconds(5);
  second.Start(publisher_);
  const auto renewals = [](TestStore& store) {
    const std::string metrics = store.HttpGet("/metrics");
    const std::string line = "countersign_package_store_renewals_total{role=\"timestamp\"} ";
    const size_t at = metrics.find(line);
    return at == std::string::npos ? 0 : std::stoi(metrics.substr(at + line.size()));
  };
  const int64_t before = GetTimestamp().version;
  clock_.Advance(absl::Hours(13));
  while (renewals(store_) + renewals(second) == 0) std::this_thread::yield();
  EXPECT_EQ(GetTimestamp().version, before + 1);
  second.app().Stop();
  clock_.Advance(absl::Hours(13));
  while (GetTimestamp().version == before + 1) std::this_thread::yield();
  EXPECT_EQ(GetTimestamp().version, before + 2);
  EXPECT_GE(renewals(store_), 1);
}

}  // namespace
}  // namespace countersign::package_store
