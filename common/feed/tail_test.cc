#include "common/feed/tail.h"

#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/db/migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/outbox.h"
#include "common/feed/outbox_migrations.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::feed {
namespace {

constexpr Tail::Options kFast = {.interval = absl::Milliseconds(1)};

// Collects one callback's answer.
struct Answer {
  absl::Status status;
  absl::Notification notification;

  Tail::Callback Callback() {
    return [this](const absl::Status& given) {
      status = given;
      notification.Notify();
    };
  }
  absl::Status Wait() {
    notification.WaitForNotification();
    return status;
  }
};

class TailTest : public ::testing::Test {
 protected:
  TailTest() : database_({.conninfo = db::TestCluster::Shared().CreateDatabase()}) {
    EXPECT_OK(db::Migrate(database_, {OutboxMigrations()}));
  }

  std::string Commit(const std::string& key) {
    EXPECT_OK(database_.RunInTransaction("Commit", [&](db::Transaction& tx) {
      Append(tx, "changed", key, "");
      return absl::OkStatus();
    }));
    std::string token;
    while (token.empty()) token = Read(database_, "", 1000)->next_token;
    return token;
  }

  db::Database database_;
};

TEST_F(TailTest, AWatcherIsToldOfNews) {
  Tail tail(database_, kFast);
  Answer first;
  tail.OnNews("", first.Callback());
  const std::string token = Commit("a");
  EXPECT_OK(first.Wait());
  Answer second;
  tail.OnNews(token, second.Callback());
  Commit("b");
  EXPECT_OK(second.Wait());
}

TEST_F(TailTest, NewsFromBeforeTheWaitIsNewsToo) {
  const std::string token = Commit("a");
  Tail tail(database_, {.interval = absl::Hours(1)});
  Answer answer;
  tail.OnNews("", answer.Callback());
  EXPECT_OK(answer.Wait());
}

TEST_F(TailTest, ANudgeLooksAtOnce) {
  Tail tail(database_, {.interval = absl::Hours(1)});
  // The first watcher has news of its own, which shows that the tail has looked before the second's commit.
  Commit("a");
  Answer ready;
  tail.OnNews("", ready.Callback());
  EXPECT_OK(ready.Wait());
  const std::string token = Read(database_, "", 1000)->next_token;
  Answer answer;
  tail.OnNews(token, answer.Callback());
  Commit("b");
  // More than once, as an older transaction elsewhere in the cluster may hold the event back at the first.
  while (!answer.notification.HasBeenNotified()) tail.Nudge();
  EXPECT_OK(answer.Wait());
}

TEST_F(TailTest, ManyWatchersAreToldByOnePoll) {
  Tail tail(database_, kFast);
  std::vector<Answer> answers(100);
  for (Answer& answer : answers) tail.OnNews("", answer.Callback());
  Commit("a");
  for (Answer& answer : answers) EXPECT_OK(answer.Wait());
}

TEST_F(TailTest, ACancelledWaitIsNotCalled) {
  Tail tail(database_, kFast);
  Answer cancelled, other;
  const Tail::WaitId id = tail.OnNews("", cancelled.Callback());
  EXPECT_TRUE(tail.Cancel(id));
  EXPECT_FALSE(tail.Cancel(id));
  const Tail::WaitId told = tail.OnNews("", other.Callback());
  Commit("a");
  EXPECT_OK(other.Wait());
  EXPECT_FALSE(tail.Cancel(told));
  tail.Stop();
  EXPECT_FALSE(cancelled.notification.HasBeenNotified());
}

TEST_F(TailTest, StopTellsWhoWaits) {
  Tail tail(database_, kFast);
  Answer answer;
  tail.OnNews("", answer.Callback());
  tail.Stop();
  ASSERT_TRUE(answer.notification.HasBeenNotified());
  EXPECT_THAT(answer.status, StatusIs(absl::StatusCode::kUnavailable, "SHUTTING_DOWN"));
  Answer late;
  tail.OnNews("", late.Callback());
  EXPECT_THAT(late.Wait(), StatusIs(absl::StatusCode::kUnavailable, "SHUTTING_DOWN"));
}

TEST(TailFailureTest, AWatcherWaitsThroughARestartOfTheDatabase) {
  db::TestCluster cluster;
  db::Database database({.conninfo = cluster.CreateDatabase()});
  ASSERT_OK(db::Migrate(database, {OutboxMigrations()}));
  Tail tail(database, kFast);
  Answer answer;
  tail.OnNews("", answer.Callback());
  cluster.KillHard();
  while (database.Ping().ok()) {
  }
  EXPECT_FALSE(answer.notification.HasBeenNotified());
  cluster.Start();
  ASSERT_OK(database.RunInTransaction("Commit", [&](db::Transaction& tx) {
    Append(tx, "changed", "a", "");
    return absl::OkStatus();
  }));
  EXPECT_OK(answer.Wait());
}

}  // namespace
}  // namespace countersign::feed
