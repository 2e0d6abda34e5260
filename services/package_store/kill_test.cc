// A campaign: the store, a backend of its database or the whole database is killed in the middle of each kind
// of publication, again and again. A client that never forgets finds the repository as it was or as it was to
// become, whole; what was acknowledged stays; and the request once more ends in exactly one publication.
//
// COUNTERSIGN_CAMPAIGN_ROUNDS says how often (the target kill_campaign does it many times),
// COUNTERSIGN_CAMPAIGN_SEED repeats a campaign.

#include <signal.h>
#include <stdlib.h>

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <pqxx/pqxx>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/crypto/random.h"
#include "common/db/testing/test_cluster.h"
#include "common/testing/status_matchers.h"
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
const std::vector<std::string> kManufacturers = {"acme", "zeta"};

// Longer than any publication takes on an idle machine, so that kills fall before, into and after it.
constexpr int kMaxDelayMicros = 25'000;

int FromEnvironment(const char* name, int otherwise) {
  const char* value = getenv(name);
  return value != nullptr ? atoi(value) : otherwise;
}

class KillTest : public ::testing::Test {
 protected:
  // A publication that is tried under fire: may be called again with the same effect, and answers as the
  // store does.
  struct Publication {
    std::function<absl::Status()> run;
    Versions becomes;                // what it makes of the versions in force
    std::vector<std::string> paths;  // the packages that there are then
  };

  KillTest()
      : publisher_(SystemClock().Now()),
        place_(publisher_, cluster_.CreateDatabase()),
        store_(&pki_, place_, {"--renewal-interval-ms=10"}),
        random_(FromEnvironment("COUNTERSIGN_CAMPAIGN_SEED", 20240229)) {
    const std::string root = publisher_.Root();
    observer_.emplace(root, publisher_.LogVkey());
    store_.Start();
    EXPECT_OK(testing::PublishRoot(*store_.As(kOperator), root));
    EXPECT_OK(testing::PublishTargets(*store_.As(kOperator), publisher_.TopTargets(1, kManufacturers)));
    for (const std::string& manufacturer : kManufacturers) {
      const Publication first = Approval(manufacturer);
      EXPECT_OK(first.run());
      paths_ = first.paths;
    }
    const absl::StatusOr<Versions> versions = observer_->Look(*store_.As(kOperator));
    EXPECT_OK(versions);
    versions_ = *versions;
  }

  Publication Root() {
    const int64_t version = versions_["root"] + 1;
    const std::string metadata = publisher_.Root(version);
    return {[=, this] { return testing::PublishRoot(*store_.As(kOperator), metadata); },
            With({{"root", version}}), paths_};
  }
  Publication Targets() {
    const int64_t version = versions_["targets"] + 1;
    const std::string metadata = publisher_.TopTargets(version, kManufacturers);
    return {[=, this] { return testing::PublishTargets(*store_.As(kOperator), metadata); },
            With({{"targets", version}}, /*new_snapshot=*/true), paths_};
  }
  // The next role of a manufacturer, with one more image.
  Publication Approval(const std::string& manufacturer) {
    std::vector<ImageSpec>& images = images_[manufacturer];
    const int64_t version = static_cast<int64_t>(images.size()) + 1;
    const Identity identity{Role::kManufacturer, manufacturer};
    images.push_back({.path = absl::StrCat(manufacturer, "/lamp/lamp-", version, ".bin"),
                      .content = absl::StrCat(manufacturer, "'s firmware ", version),
                      .release_counter = version});
    EXPECT_OK(testing::Upload(*store_.As(identity), manufacturer, images.back().content));
    const absl::StatusOr<v1::Proposal> proposal = testing::Propose(
        *store_.As(identity), manufacturer, publisher_.Sign(manufacturer, publisher_.Role(version, images)));
    EXPECT_OK(proposal);
    const v1::ApproveProposalRequest request = publisher_.Approve(*proposal);
    std::vector<std::string> paths = paths_;
    paths.push_back(images.back().path);
    return {[=, this] { return testing::Approve(*store_.As(kAuthority), request).status(); },
            With({{manufacturer, version}}, /*new_snapshot=*/true), paths};
  }
  // Half of the lives of timestamp, and of snapshot, are over: a moment later the store signs anew.
  Publication Renewal(bool of_snapshot) {
    return {[=, this] {
              try {
                return MakeDue(of_snapshot);
              } catch (const pqxx::failure& error) {
                return absl::UnavailableError(error.what());
              }
            },
            With({}, of_snapshot, /*new_timestamp=*/true), paths_};
  }

  // Returns once it is signed anew.
  absl::Status MakeDue(bool of_snapshot) {
    pqxx::connection connection(place_.database);
    const auto is_renewed = [&](pqxx::transaction_base& session) {
      return InForce(session).at("timestamp") != versions_.at("timestamp");
    };
    {
      pqxx::work work(connection);
      if (is_renewed(work)) return absl::OkStatus();
      work.exec(absl::StrCat("UPDATE roles SET expires_at = now() WHERE role IN ('timestamp'",
                             of_snapshot ? ", 'snapshot'" : "", ")"));
      work.commit();
    }
    while (alive_) {
      pqxx::nontransaction reader(connection);
      if (is_renewed(reader)) return absl::OkStatus();
    }
    return absl::UnavailableError("the store is gone");
  }

  static Versions InForce(pqxx::transaction_base& session) {
    Versions versions;
    for (const pqxx::row& row : session.exec("SELECT role, version FROM roles")) {
      versions[row[0].c_str()] = row[1].as<int64_t>();
    }
    return versions;
  }

  Versions With(const Versions& changes, bool new_snapshot = false, bool new_timestamp = false) {
    Versions versions = versions_;
    for (const auto& [role, version] : changes) versions[role] = version;
    if (new_snapshot) ++versions["snapshot"];
    if (new_snapshot || new_timestamp) ++versions["timestamp"];
    return versions;
  }

  Publication Any() {
    switch (random_() % 6) {
      case 0:
        return Root();
      case 1:
        return Targets();
      case 2:
        return Renewal(/*of_snapshot=*/false);
      case 3:
        return Renewal(/*of_snapshot=*/true);
      default:
        return Approval(kManufacturers[random_() % 2]);
    }
  }

  void KillBackends() {
    pqxx::connection connection(place_.database);
    pqxx::nontransaction reader(connection);
    for (const pqxx::row& row :
         reader.exec("SELECT pid FROM pg_stat_activity WHERE state = 'active' OR "
                     "state = 'idle in transaction' ORDER BY pid = pg_backend_pid()")) {
      kill(row[0].as<int>(), SIGKILL);
    }
  }

  // Kills what `victim` says at some moment of the publication; everything runs again afterwards. Returns
  // what the publication answered.
  absl::Status RunUnderFire(const Publication& publication, int victim) {
    absl::Status answer;
    std::thread runner([&] { answer = publication.run(); });
    absl::SleepFor(absl::Microseconds(random_() % kMaxDelayMicros));
    switch (victim) {
      case 0:
        cluster_.KillHard();
        break;
      case 1:
        try {
          KillBackends();
        } catch (const pqxx::failure&) {  // our own was among them
        }
        break;
      default:
        store_.Kill();
    }
    alive_ = false;
    runner.join();
    if (victim == 0) cluster_.Start();
    if (victim > 1) store_.Start();
    alive_ = true;
    return answer;
  }

  // The store's and PostgreSQL's connections come back when they come back.
  absl::StatusOr<Versions> LookUntilAnswered() {
    absl::StatusOr<Versions> versions = absl::UnavailableError("");
    while (versions.status().code() == absl::StatusCode::kUnavailable) {
      versions = observer_->Look(*store_.As(kOperator));
    }
    return versions;
  }

  // A database that lost a backend ends the others a moment later: what was under way then is to be repeated,
  // also what the store cannot tell the outcome of.
  static absl::Status UntilAnswered(const std::function<absl::Status()>& call) {
    absl::Status status = call();
    while (status.code() == absl::StatusCode::kUnavailable || status.code() == absl::StatusCode::kUnknown) {
      status = call();
    }
    return status;
  }

  // A cluster of its own: it is killed.
  db::TestCluster cluster_;
  rpc::testing::TestPki pki_;
  Publisher publisher_;
  const StorePlace place_;
  Program store_;
  std::mt19937 random_;
  std::optional<Observer> observer_;
  std::map<std::string, std::vector<ImageSpec>> images_;
  std::vector<std::string> paths_;
  Versions versions_;
  std::atomic<bool> alive_ = true;
};

// FOTA-R1, SC-MA
TEST_F(KillTest, WhateverIsKilledInTheMiddleOfAPublicationTheRepositoryIsTheOldOrTheNewOne) {
  const int rounds = FromEnvironment("COUNTERSIGN_CAMPAIGN_ROUNDS", 24);
  std::map<std::string, int> outcomes;
  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    SCOPED_TRACE(absl::StrCat("round ", round));
    const Publication publication = Any();
    const int victim = static_cast<int>(random_() % 6);  // two of three times the store
    const absl::Status answer = RunUnderFire(publication, victim);

    const absl::StatusOr<Versions> found = LookUntilAnswered();
    ASSERT_OK(found);
    const bool is_new = *found == publication.becomes;
    // A renewal goes on by itself once the database or the store is back.
    EXPECT_TRUE(is_new || *found == versions_) << ::testing::PrintToString(*found);
    EXPECT_TRUE(is_new || !answer.ok()) << "it was acknowledged, and is lost";
    ++outcomes[absl::StrCat(answer.ok() ? "acknowledged"
                            : is_new    ? "done, unknown to the caller"
                                        : "undone")];

    EXPECT_OK(UntilAnswered(publication.run));
    const absl::StatusOr<Versions> at_last = LookUntilAnswered();
    ASSERT_OK(at_last);
    EXPECT_EQ(*at_last, publication.becomes);
    EXPECT_OK(
        UntilAnswered([&] { return observer_->ComparePackages(*store_.As(kOperator), publication.paths); }));
    EXPECT_OK(
        UntilAnswered([&] { return observer_->CompareLog(*store_.As(kOperator), publication.becomes); }));
    versions_ = publication.becomes;
    paths_ = publication.paths;
  }
  for (const auto& [outcome, count] : outcomes) RecordProperty(outcome, count);
  EXPECT_EQ(store_.Stop(), 0);
}

}  // namespace
}  // namespace countersign::package_store
