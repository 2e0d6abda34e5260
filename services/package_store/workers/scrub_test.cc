#include "services/package_store/workers/scrub.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/db/database.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/outbox_migrations.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/package_store/storage/file_blob_store.h"
#include "services/package_store/storage/images.h"
#include "services/package_store/storage/package_store_migrations.h"

namespace countersign::package_store {
namespace {

constexpr int64_t kFast = int64_t{1} << 40;

class ScrubTest : public ::testing::Test {
 protected:
  ScrubTest() : database_(Options()) {
    EXPECT_OK(db::Migrate(database_,
                          {db::RequestIdsMigrations(), feed::OutboxMigrations(), PackageStoreMigrations()}));
    folder_ = absl::StrCat(getenv("TEST_TMPDIR"), "/blobs-XXXXXX");
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    blobs_ = *FileBlobStore::Open(folder_, "repository", false);
    images_ = std::make_unique<Images>(database_, *blobs_, int64_t{1} << 40);
  }
  static db::Options Options() {
    db::Options options;
    options.conninfo = db::TestCluster::Shared().CreateDatabase();
    options.max_connections = 6;
    return options;
  }

  std::string Store(const std::string& content) {
    const std::string sha256 = crypto::Sha256Hex(content);
    EXPECT_OK(images_->CreateUpload("acme", sha256, content.size(), clock_.Now()));
    const auto session = images_->OpenUpload("acme", sha256);
    EXPECT_OK(session);
    for (size_t at = 0; at < content.size(); at += 1 << 20)
      EXPECT_OK((*session)->Append(at, absl::string_view(content).substr(at, 1 << 20), clock_.Now()));
    return sha256;
  }
  std::string FileOf(const std::string& sha256) const {
    return absl::StrCat(folder_, "/images/", sha256.substr(0, 2), "/", sha256);
  }
  void FlipABit(const std::string& sha256, int64_t at) {
    const int fd = open(FileOf(sha256).c_str(), O_RDWR);
    char byte = 0;
    ASSERT_EQ(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    ASSERT_EQ(pwrite(fd, &byte, 1, at), 1);
    close(fd);
  }

  // A replica's worker.
  struct Replica {
    Replica(ScrubTest& test, int64_t speed)
        : health(test.database_, *test.blobs_),
          scrub(health, test.clock_, registry, {speed, absl::Hours(24)}) {}
    double Bytes() { return Value("countersign_package_store_scrubbed_bytes_total"); }
    double Value(const std::string& name) {
      const std::string text = registry.Serialize();
      const size_t at = text.find("\n" + name + " ");
      return at == std::string::npos ? 0 : std::stod(text.substr(at + name.size() + 2));
    }
    metrics::Registry registry;
    ImageHealth health;
    Scrub scrub;
  };

  FakeClock clock_;
  db::Database database_;
  std::string folder_;
  std::unique_ptr<FileBlobStore> blobs_;
  std::unique_ptr<Images> images_;
};

TEST_F(ScrubTest, EveryImageIsReadOnceInAPeriod) {
  Store("one");
  Store("two, longer");
  Replica replica(*this, kFast);
  ASSERT_OK(replica.scrub.Round());
  EXPECT_EQ(replica.Bytes(), 0);
  clock_.Advance(absl::Hours(25));
  ASSERT_OK(replica.scrub.Round());
  EXPECT_EQ(replica.Bytes(), 14);
  ASSERT_OK(replica.scrub.Round());
  EXPECT_EQ(replica.Bytes(), 14);
  clock_.Advance(absl::Hours(25));
  ASSERT_OK(replica.scrub.Round());
  EXPECT_EQ(replica.Bytes(), 28);
  EXPECT_EQ(replica.Value("countersign_package_store_damaged_images"), 0);
}

// FOTA-R2
TEST_F(ScrubTest, AnyFlippedBitIsFound) {
  const std::string content = crypto::RandomBytes((2 << 20) + 17);
  const std::string good = Store(crypto::RandomBytes(100));
  const std::string sha256 = Store(content);
  clock_.Advance(absl::Hours(25));
  FlipABit(sha256, content.size() - 1);
  Replica replica(*this, kFast);
  ASSERT_OK(replica.scrub.Round());
  EXPECT_EQ(replica.Value("countersign_package_store_damaged_images"), 1);
  ASSERT_OK_AND_ASSIGN(const Images::Visibility bad, images_->GetVisibility(sha256, "acme"));
  EXPECT_TRUE(bad.damaged);
  EXPECT_THAT(images_->OpenImage(sha256, bad, clock_.Now()),
              StatusIs(absl::StatusCode::kFailedPrecondition, "IMAGE_DAMAGED"));
  ASSERT_OK_AND_ASSIGN(const Images::Visibility well, images_->GetVisibility(good, "acme"));
  EXPECT_FALSE(well.damaged);
  // It waits for its repair and is not read again until then.
  clock_.Advance(absl::Hours(25));
  const double before = replica.Bytes();
  ASSERT_OK(replica.scrub.Round());
  EXPECT_EQ(replica.Bytes(), before + 100);
  EXPECT_EQ(Store(content), sha256);
  ASSERT_OK(replica.scrub.Round());
  EXPECT_EQ(replica.Value("countersign_package_store_damaged_images"), 0);
  ASSERT_OK_AND_ASSIGN(const Images::Visibility repaired, images_->GetVisibility(sha256, "acme"));
  EXPECT_OK(images_->OpenImage(sha256, repaired, clock_.Now()));
}

TEST_F(ScrubTest, AMissingImageAndOneOfAnotherLengthAreDamaged) {
  const std::string missing = Store("missing");
  const std::string longer = Store("longer");
  ASSERT_EQ(unlink(FileOf(missing).c_str()), 0);
  ASSERT_EQ(truncate(FileOf(longer).c_str(), 7), 0);
  clock_.Advance(absl::Hours(25));
  Replica replica(*this, kFast);
  ASSERT_OK(replica.scrub.Round());
  EXPECT_EQ(replica.Value("countersign_package_store_damaged_images"), 2);
}

TEST_F(ScrubTest, OneReplicaAtATimeReadsAnImageAndAnotherGoesOnWhereItStopped) {
  const std::string content = crypto::RandomBytes(8 << 20);
  Store(content);
  clock_.Advance(absl::Hours(25));
  // At this speed the first block alone takes for ever.
  Replica slow(*this, 1);
  std::thread reading([&] { EXPECT_OK(slow.scrub.Round()); });
  while (slow.Bytes() == 0) std::this_thread::yield();
  Replica other(*this, kFast);
  ASSERT_OK(other.scrub.Round());
  EXPECT_EQ(other.Bytes(), 0);
  slow.scrub.Stop();
  reading.join();
  EXPECT_EQ(slow.Bytes(), 1 << 20);
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK(other.scrub.Round());
  EXPECT_EQ(other.Bytes(), 7 << 20);
  EXPECT_EQ(other.Value("countersign_package_store_damaged_images"), 0);
}

TEST_F(ScrubTest, TheTurnOfAReplicaThatDiedPassesOnAndTheDeadOnesWordNoLongerCounts) {
  const std::string sha256 = Store("image");
  clock_.Advance(absl::Hours(25));
  ImageHealth dead(database_, *blobs_);
  ImageHealth next(database_, *blobs_);
  const auto take = [&](ImageHealth& health) {
    const absl::Time now = clock_.Now();
    return health.Take(now, now - absl::Hours(24), now + absl::Minutes(3));
  };
  ASSERT_OK_AND_ASSIGN(auto turn, take(dead));
  ASSERT_TRUE(turn.has_value());
  EXPECT_EQ(turn->sha256, sha256);
  ASSERT_OK_AND_ASSIGN(auto none, take(next));
  EXPECT_FALSE(none.has_value());
  clock_.Advance(absl::Minutes(4));
  ASSERT_OK_AND_ASSIGN(auto taken, take(next));
  ASSERT_TRUE(taken.has_value());
  EXPECT_THAT(dead.Keep(*turn, clock_.Now()), IsOkAndHolds(false));
  ASSERT_OK(dead.Fail(*turn, "it said so too late", clock_.Now()));
  EXPECT_THAT(next.CountDamaged(), IsOkAndHolds(0));
  EXPECT_THAT(next.Keep(*taken, clock_.Now() + absl::Minutes(3)), IsOkAndHolds(true));
  ASSERT_OK(next.Pass(*taken, clock_.Now()));
}

}  // namespace
}  // namespace countersign::package_store
