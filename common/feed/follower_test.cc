#include "common/feed/follower.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/db/migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/follower_migrations.h"
#include "common/feed/outbox_migrations.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::feed {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

constexpr int kEvents = 40;

// A source with events "0" to "39", a consumer that writes down what it applies, each in a database of its
// own.
class FollowerTest : public ::testing::Test {
 protected:
  explicit FollowerTest(db::TestCluster& consumer_cluster = db::TestCluster::Shared())
      : source_conninfo_(db::TestCluster::Shared().CreateDatabase()),
        consumer_conninfo_(consumer_cluster.CreateDatabase()),
        source_({.conninfo = source_conninfo_}),
        consumer_({.conninfo = consumer_conninfo_}) {
    EXPECT_OK(db::Migrate(source_, {OutboxMigrations()}));
    EXPECT_OK(db::Migrate(
        consumer_,
        {FollowerMigrations(),
         {{"test", 1, "test", "CREATE TABLE applied (n int GENERATED ALWAYS AS IDENTITY, key text)"}}}));
    for (int i = 0; i < kEvents; ++i) Commit(absl::StrCat(i));
  }

  void Commit(const std::string& key) {
    EXPECT_OK(source_.RunInTransaction("Commit", [&](db::Transaction& tx) {
      Append(tx, "changed", key, "");
      return absl::OkStatus();
    }));
  }

  // Ends the stream whenever there is nothing more, so that resuming is the normal case.
  static Follower::Watch WatchOf(db::Database& source, int batch) {
    return [&source, batch](const std::string& token, const Follower::Sink& sink,
                            std::stop_token stop) -> absl::Status {
      std::string at = token;
      while (!stop.stop_requested()) {
        ASSIGN_OR_RETURN(const Page page, Read(source, at, batch));
        if (page.events.empty()) return absl::OkStatus();
        RETURN_IF_ERROR(sink(page.events, page.next_token));
        at = page.next_token;
      }
      return absl::CancelledError("stopped");
    };
  }

  static absl::Status WriteDown(db::Transaction& tx, const Event& event) {
    tx.exec_params0("INSERT INTO applied (key) VALUES ($1)", event.key);
    return absl::OkStatus();
  }

  static Follower::Options MakeOptions(db::Database& source, int batch = 7) {
    return {.source = "source",
            .watch = WatchOf(source, batch),
            .apply = WriteDown,
            .sleep = [](absl::Duration, std::stop_token) { std::this_thread::yield(); }};
  }

  std::vector<std::string> Applied() {
    return consumer_
        .Read("Applied",
              [](db::Reader& reader) -> absl::StatusOr<std::vector<std::string>> {
                std::vector<std::string> keys;
                for (const pqxx::row& row : reader.exec("SELECT key FROM applied ORDER BY n")) {
                  keys.push_back(row[0].c_str());
                }
                return keys;
              })
        .value_or(std::vector<std::string>());
  }

  void AwaitAndCheck(int count = kEvents) {
    while (static_cast<int>(Applied().size()) < count) std::this_thread::yield();
    std::vector<std::string> expected;
    for (int i = 0; i < count; ++i) expected.push_back(absl::StrCat(i));
    EXPECT_EQ(Applied(), expected);
  }

  const std::string source_conninfo_, consumer_conninfo_;
  db::Database source_, consumer_;
};

TEST_F(FollowerTest, EveryEventIsAppliedOnceAndInOrder) {
  Follower follower(consumer_, MakeOptions(source_));
  AwaitAndCheck();
  Commit("40");
  AwaitAndCheck(41);
  follower.Stop();
  EXPECT_THAT(StoredPosition(consumer_, "source"), IsOkAndHolds(Read(source_, "", 1000)->next_token));
  EXPECT_THAT(StoredPosition(consumer_, "other"), IsOkAndHolds(""));
}

TEST_F(FollowerTest, ARestartedFollowerGoesOnWhereItWas) {
  {
    Follower follower(consumer_, MakeOptions(source_));
    AwaitAndCheck();
  }
  Commit("40");
  Follower follower(consumer_, MakeOptions(source_));
  AwaitAndCheck(41);
}

// The follower's process is killed in the middle of event 10's transaction, and after the commit of a batch.
TEST_F(FollowerTest, AfterACrashNothingIsLostOrDoubled) {
  for (const bool before_commit : {true, false}) {
    const pid_t child = fork();
    if (child == 0) {
      db::Database source({.conninfo = source_conninfo_}), consumer({.conninfo = consumer_conninfo_});
      Follower::Options options = MakeOptions(source);
      if (before_commit) {
        options.apply = [](db::Transaction& tx, const Event& event) {
          absl::Status status = WriteDown(tx, event);
          if (event.key == "10") raise(SIGKILL);
          return status;
        };
      } else {
        options.observer = [](const Follower::Observation& observation) {
          if (observation.applied > 0) raise(SIGKILL);
        };
      }
      Follower follower(consumer, options);
      pause();
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(Applied().size(), before_commit ? 7u : 14u);
  }
  Follower follower(consumer_, MakeOptions(source_));
  AwaitAndCheck();
}

TEST_F(FollowerTest, TwoReplicasApplyEachEventOnce) {
  db::Database other({.conninfo = consumer_conninfo_});
  Follower one(consumer_, MakeOptions(source_, 3));
  Follower two(other, MakeOptions(source_, 5));
  AwaitAndCheck();
  for (int i = kEvents; i < 2 * kEvents; ++i) Commit(absl::StrCat(i));
  AwaitAndCheck(2 * kEvents);
}

TEST_F(FollowerTest, AFailingEventIsTriedUntilItSucceedsAndRollsBackItsBatch) {
  std::atomic<int> failures = 0;
  Follower::Options options = MakeOptions(source_);
  options.apply = [&](db::Transaction& tx, const Event& event) {
    absl::Status status = WriteDown(tx, event);
    if (event.key == "9" && ++failures <= 3) return absl::FailedPreconditionError("not yet");
    return status;
  };
  Follower follower(consumer_, options);
  AwaitAndCheck();
  EXPECT_EQ(failures, 4);
}

TEST_F(FollowerTest, TheDelayGrowsWhileTheStreamIsBrokenAndStartsAgainAfterProgress) {
  absl::Mutex mutex;
  std::vector<absl::Duration> sleeps;
  std::atomic<int> calls = 0;
  Follower::Options options = MakeOptions(source_);
  options.min_backoff = absl::Seconds(1);
  options.max_backoff = absl::Seconds(4);
  options.watch = [&](const std::string& token, const Follower::Sink& sink,
                      std::stop_token stop) -> absl::Status {
    if (++calls == 5) RETURN_IF_ERROR(WatchOf(source_, 100)(token, sink, stop));
    return absl::UnavailableError("broken");
  };
  options.sleep = [&](absl::Duration delay, std::stop_token) {
    absl::MutexLock lock(&mutex);
    sleeps.push_back(delay);
  };
  {
    Follower follower(consumer_, options);
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(
        +[](std::vector<absl::Duration>* all) { return all->size() >= 6; }, &sleeps));
  }
  const std::vector<double> ceilings = {1, 2, 4, 4, 1, 2};
  for (std::size_t i = 0; i < ceilings.size(); ++i) {
    EXPECT_LE(sleeps[i], absl::Seconds(ceilings[i])) << i;
    EXPECT_GE(sleeps[i], absl::Seconds(ceilings[i] / 2)) << i;
  }
}

TEST_F(FollowerTest, AnExpiredPositionIsReplacedByThatOfTheResync) {
  std::atomic<int> resyncs = 0;
  Follower::Options options = MakeOptions(source_);
  Follower::Watch watch = options.watch;
  options.watch = [&](const std::string& token, const Follower::Sink& sink,
                      std::stop_token stop) -> absl::Status {
    if (resyncs == 0) return Error(absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED", "trimmed");
    return watch(token, sink, stop);
  };
  // As if the listing had brought all but the last event's effect.
  while (Read(source_, "", kEvents)->events.size() < kEvents) {
  }
  const std::string last_but_one = Read(source_, "", kEvents)->events[kEvents - 2].token;
  options.resync = [&](std::stop_token) -> absl::StatusOr<std::string> {
    ++resyncs;
    return last_but_one;
  };
  Follower follower(consumer_, options);
  while (Applied().empty()) std::this_thread::yield();
  EXPECT_THAT(Applied(), ElementsAre("39"));
  EXPECT_EQ(resyncs, 1);
}

TEST_F(FollowerTest, StopInterruptsAStreamThatWaits) {
  absl::Notification watching;
  Follower::Options options = MakeOptions(source_);
  options.watch = [&](const std::string&, const Follower::Sink&, std::stop_token stop) -> absl::Status {
    absl::Notification cancelled;
    std::stop_callback cancel(stop, [&] { cancelled.Notify(); });
    watching.Notify();
    cancelled.WaitForNotification();
    return absl::CancelledError("cancelled");
  };
  Follower follower(consumer_, options);
  watching.WaitForNotification();
  follower.Stop();
}

TEST_F(FollowerTest, StopInterruptsTheDelay) {
  absl::Notification broken;
  Follower::Options options = MakeOptions(source_);
  options.min_backoff = options.max_backoff = absl::Hours(1);
  options.sleep = nullptr;
  options.watch = [](const std::string&, const Follower::Sink&, std::stop_token) {
    return absl::UnavailableError("x");
  };
  options.observer = [&](const Follower::Observation&) { broken.Notify(); };
  Follower follower(consumer_, options);
  broken.WaitForNotification();
  follower.Stop();
}

TEST_F(FollowerTest, TheLagIsTheAgeOfTheLastEvent) {
  const FakeClock clock(absl::FromUnixSeconds(4'000'000'000));
  absl::Mutex mutex;
  std::vector<absl::Duration> lags;
  Follower::Options options = MakeOptions(source_);
  options.clock = &clock;
  options.observer = [&](const Follower::Observation& observation) {
    absl::MutexLock lock(&mutex);
    if (observation.lag.has_value()) lags.push_back(*observation.lag);
  };
  {
    Follower follower(consumer_, options);
    AwaitAndCheck();
  }
  while (Read(source_, "", kEvents)->events.size() < kEvents) {
  }
  EXPECT_THAT(lags, Contains(clock.Now() - Read(source_, "", kEvents)->events.back().created_at));
}

struct OwnCluster {
  db::TestCluster cluster;
};

// The consumer's server goes away, so it is the test's own.
class FollowerFailureTest : private OwnCluster, public FollowerTest {
 protected:
  FollowerFailureTest() : FollowerTest(cluster) {}

  using OwnCluster::cluster;
};

TEST_F(FollowerFailureTest, ADatabaseKilledInTheMiddleOfABatchLosesAndDoublesNothing) {
  absl::Notification killed;
  Follower::Options options = MakeOptions(source_);
  options.apply = [&](db::Transaction& tx, const Event& event) {
    absl::Status status = WriteDown(tx, event);
    if (event.key == "10" && !killed.HasBeenNotified()) {
      cluster.KillHard();
      killed.Notify();
    }
    return status;
  };
  Follower follower(consumer_, options);
  killed.WaitForNotification();
  cluster.Start();
  AwaitAndCheck();
}

}  // namespace
}  // namespace countersign::feed
