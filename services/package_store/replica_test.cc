// Two replicas of the store under fire: several manufacturers publish at once, root and targets change,
// timestamps are renewed all the time, and now one and now the other replica is killed. Whoever watches both
// sees one repository that only goes forward, and in the end no version is missing, none was given twice, and
// nothing acknowledged is lost.
//
// COUNTERSIGN_CAMPAIGN_ROUNDS says how many versions each manufacturer publishes.

#include <stdlib.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <pqxx/pqxx>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/clock/clock.h"
#include "common/crypto/random.h"
#include "common/db/testing/test_cluster.h"
#include "common/testing/status_matchers.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "services/package_store/testing/calls.h"
#include "services/package_store/testing/observer.h"
#include "services/package_store/testing/program.h"
#include "services/package_store/testing/publisher.h"

namespace countersign::package_store {
namespace {

using rpc::Identity;
using rpc::Role;
using testing::ImageSpec;
using testing::Observer;
using testing::Program;
using testing::Publisher;
using testing::StorePlace;
using testing::Versions;
namespace v1 = ::countersign::package_store::v1;

const Identity kAuthority{Role::kAuthority, "ma"};
const Identity kOperator{Role::kOperator, "op"};
const std::vector<std::string> kManufacturers = {"acme", "globex", "zeta"};

int Rounds() {
  const char* value = getenv("COUNTERSIGN_CAMPAIGN_ROUNDS");
  return value != nullptr ? atoi(value) : 12;
}

// A replica that is killed and started again while others call it.
class Replica {
 public:
  Replica(rpc::testing::TestPki* pki, const StorePlace& place)
      : program_(pki, place, {"--renewal-interval-ms=10"}) {
    program_.Start();
  }
  std::unique_ptr<testing::Stub> As(const Identity& identity) const {
    absl::ReaderMutexLock lock(&mutex_);
    return program_.As(identity);
  }
  void KillAndStart() {
    absl::MutexLock lock(&mutex_);
    program_.Kill();
    program_.Start();
  }
  int Stop() { return program_.Stop(); }

 private:
  mutable absl::Mutex mutex_;
  Program program_;
};

class ReplicaTest : public ::testing::Test {
 protected:
  ReplicaTest() : publisher_(SystemClock().Now()), place_(publisher_) {
    for (const std::string& manufacturer : kManufacturers) publisher_.manufacturer(manufacturer);
    root_ = publisher_.Root();
    for (int i = 0; i < 2; ++i) replicas_.push_back(std::make_unique<Replica>(&pki_, place_));
    EXPECT_OK(testing::PublishRoot(*replicas_[0]->As(kOperator), root_));
    EXPECT_OK(
        testing::PublishTargets(*replicas_[0]->As(kOperator), publisher_.TopTargets(1, kManufacturers)));
  }

  // Asks now one and now the other replica, the same each time, until one that lives has answered.
  void Insist(const Identity& identity, const std::function<absl::Status(testing::Stub&)>& request) {
    thread_local std::mt19937 random{std::random_device{}()};
    absl::Status status = absl::UnavailableError("");
    while (status.code() == absl::StatusCode::kUnavailable) {
      status = request(*replicas_[random() % 2]->As(identity));
    }
    EXPECT_OK(status);
  }

  // One manufacturer's releases, one after the other.
  void PublishReleases(const std::string& manufacturer, int count) {
    const Identity identity{Role::kManufacturer, manufacturer};
    std::vector<ImageSpec> images;
    for (int version = 1; version <= count; ++version) {
      images.push_back({.path = absl::StrCat(manufacturer, "/lamp/lamp-", version, ".bin"),
                        .content = absl::StrCat(manufacturer, "'s firmware ", version),
                        .release_counter = version});
      Insist(identity, [&](testing::Stub& stub) {
        const absl::Status status = testing::Upload(stub, manufacturer, images.back().content).status();
        // The stream that a killed replica left may still be held.
        return status.code() == absl::StatusCode::kAborted ? absl::UnavailableError("busy") : status;
      });
      const std::string metadata = publisher_.Sign(manufacturer, publisher_.Role(version, images));
      const std::string request_id = crypto::Uuid();
      v1::Proposal proposal;
      Insist(identity, [&](testing::Stub& stub) {
        absl::StatusOr<v1::Proposal> proposed = testing::Propose(stub, manufacturer, metadata, request_id);
        if (proposed.ok()) proposal = *std::move(proposed);
        return proposed.status();
      });
      const v1::ApproveProposalRequest approval = publisher_.Approve(proposal);
      Insist(kAuthority, [&](testing::Stub& stub) { return testing::Approve(stub, approval).status(); });
    }
  }
  void PublishDelegations(int count) {
    for (int version = 2; version <= count; ++version) {
      const std::string root = publisher_.Root(version);
      Insist(kOperator, [&](testing::Stub& stub) { return testing::PublishRoot(stub, root); });
      const std::string targets = publisher_.TopTargets(version, kManufacturers);
      Insist(kOperator, [&](testing::Stub& stub) { return testing::PublishTargets(stub, targets); });
    }
  }
  // Both replicas find, again and again, that what is in force is to be signed anew.
  void MakeDue(bool of_snapshot) {
    pqxx::connection connection(place_.database);
    pqxx::nontransaction work(connection);
    work.exec(absl::StrCat("UPDATE roles SET expires_at = now() WHERE role IN ('timestamp'",
                           of_snapshot ? ", 'snapshot'" : "", ")"));
  }

  // Every version of a file from 1 to `last`, or to the last that there is; their contents.
  std::vector<std::string> AllVersions(const std::string& role) {
    testing::StoreFetcher fetcher(operator_.get());
    std::vector<std::string> files;
    while (true) {
      absl::StatusOr<std::string> file =
          fetcher.Fetch(trust::MetadataFilename(role, static_cast<int64_t>(files.size()) + 1), 1 << 20);
      if (!file.ok()) return files;
      files.push_back(*std::move(file));
    }
  }

  rpc::testing::TestPki pki_;
  Publisher publisher_;
  const StorePlace place_;
  std::string root_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::unique_ptr<testing::Stub> operator_;
};

TEST_F(ReplicaTest, UnderKillsAndConcurrentPublicationsThereIsOneRepositoryThatOnlyGoesForward) {
  const int rounds = Rounds();
  std::atomic<bool> done = false;
  std::atomic<int> looks = 0;
  std::vector<std::thread> publishers;
  for (const std::string& manufacturer : kManufacturers) {
    publishers.emplace_back([&, manufacturer] { PublishReleases(manufacturer, rounds); });
  }
  publishers.emplace_back([&] { PublishDelegations(rounds); });
  std::thread watcher([&] {
    Observer observer(root_, publisher_.LogVkey());
    for (int i = 0; !done && !HasFailure(); ++i) {
      const absl::StatusOr<Versions> seen = observer.Look(*replicas_[i % 2]->As(kOperator));
      if (seen.status().code() == absl::StatusCode::kUnavailable) continue;
      EXPECT_OK(seen);
      ++looks;
    }
  });
  std::thread killer([&] {
    std::mt19937 random{20240229};
    for (int i = 0; !done; ++i) {
      MakeDue(/*of_snapshot=*/i % 4 == 0);
      absl::SleepFor(absl::Milliseconds(random() % 100));
      if (i % 3 == 0) replicas_[random() % 2]->KillAndStart();
    }
  });
  for (std::thread& publisher : publishers) publisher.join();
  done = true;
  watcher.join();
  killer.join();
  ASSERT_FALSE(HasFailure());
  EXPECT_GT(looks, 0);

  // Nothing acknowledged is lost, nothing was done twice.
  operator_ = replicas_[0]->As(kOperator);
  std::vector<std::string> paths;
  for (const std::string& manufacturer : kManufacturers) {
    EXPECT_EQ(AllVersions(manufacturer).size(), static_cast<size_t>(rounds)) << manufacturer;
    for (int i = 1; i <= rounds; ++i) paths.push_back(absl::StrCat(manufacturer, "/lamp/lamp-", i, ".bin"));
  }
  EXPECT_EQ(AllVersions("root").size(), static_cast<size_t>(rounds));
  EXPECT_EQ(AllVersions("targets").size(), static_cast<size_t>(rounds));
  Observer observer(root_, publisher_.LogVkey());
  for (const std::unique_ptr<Replica>& replica : replicas_) {
    EXPECT_OK(observer.ComparePackages(*replica->As(kOperator), paths));
    const absl::StatusOr<Versions> in_force = observer.Look(*replica->As(kOperator));
    ASSERT_OK(in_force);
    EXPECT_OK(observer.CompareLog(*replica->As(kOperator), *in_force));
  }
  // The snapshots tell the repository's history: no number is missing, and no role ever leaves or falls.
  const absl::StatusOr<Versions> last = observer.Look(*operator_);
  ASSERT_OK(last);
  const std::vector<std::string> snapshots = AllVersions("snapshot");
  EXPECT_EQ(snapshots.size(), static_cast<size_t>(last->at("snapshot")));
  Versions before;
  for (const std::string& file : snapshots) {
    const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(file);
    ASSERT_OK(envelope);
    const absl::StatusOr<trust::Snapshot> snapshot = trust::Snapshot::Parse(*envelope);
    ASSERT_OK(snapshot);
    for (const auto& [role, version] : before) {
      ASSERT_EQ(snapshot->roles.count(role), 1) << role;
      EXPECT_GE(snapshot->roles.at(role).version, version);
      EXPECT_LE(snapshot->roles.at(role).version, version + 1);
    }
    before.clear();
    for (const auto& [role, meta] : snapshot->roles) before[role] = meta.version;
  }
  for (const std::unique_ptr<Replica>& replica : replicas_) EXPECT_EQ(replica->Stop(), 0);
}

}  // namespace
}  // namespace countersign::package_store
