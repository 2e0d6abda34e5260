#include "common/feed/outbox.h"

#include <string>
#include <vector>

#include "common/db/migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/outbox_migrations.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::feed {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class OutboxTest : public ::testing::Test {
 protected:
  OutboxTest() : database_({.conninfo = db::TestCluster::Shared().CreateDatabase()}) {
    EXPECT_OK(db::Migrate(database_, {OutboxMigrations()}));
  }

  void Commit(const std::string& key) {
    EXPECT_OK(database_.RunInTransaction("Commit", [&](db::Transaction& tx) {
      Append(tx, "changed", key, "payload of " + key);
      return absl::OkStatus();
    }));
  }

  static std::vector<std::string> Keys(const std::vector<Event>& events) {
    std::vector<std::string> keys;
    for (const Event& event : events) keys.push_back(event.key);
    return keys;
  }

  // The next `count` events. What is committed becomes visible once no transaction is older, autovacuum's
  // included.
  std::vector<Event> ReadSome(std::string token, std::size_t count) {
    std::vector<Event> events;
    while (events.size() < count) {
      const absl::StatusOr<Page> page = Read(database_, token, static_cast<int>(count - events.size()));
      EXPECT_OK(page);
      if (!page.ok()) break;
      events.insert(events.end(), page->events.begin(), page->events.end());
      token = page->next_token;
    }
    return events;
  }

  db::Database database_;
};

TEST_F(OutboxTest, EventsComeInOrderAndWhole) {
  Commit("a");
  ASSERT_OK(database_.RunInTransaction("Many", [&](db::Transaction& tx) {
    Append(tx, {{"k1", "b", std::string("\0\xff", 2)}, {"k2", "c", ""}, {"k3", "d", "d"}});
    return absl::OkStatus();
  }));
  const std::vector<Event> events = ReadSome("", 4);
  EXPECT_THAT(Keys(events), ElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(events[0].kind, "changed");
  EXPECT_EQ(events[0].payload, "payload of a");
  EXPECT_EQ(events[1].payload, std::string("\0\xff", 2));
  EXPECT_LE(events[0].created_at, events[1].created_at);
  EXPECT_THAT(Keys(ReadSome(events[1].token, 2)), ElementsAre("c", "d"));
  ASSERT_OK_AND_ASSIGN(const Page end, Read(database_, events[3].token, 10));
  EXPECT_THAT(end.events, IsEmpty());
  EXPECT_EQ(end.next_token, events[3].token);
}

TEST_F(OutboxTest, APageHasNoMoreThanItsLimit) {
  for (const char* key : {"a", "b", "c"}) Commit(key);
  ReadSome("", 3);
  ASSERT_OK_AND_ASSIGN(const Page page, Read(database_, "", 2));
  EXPECT_THAT(Keys(page.events), ElementsAre("a", "b"));
  ASSERT_OK_AND_ASSIGN(const Page next, Read(database_, page.next_token, 2));
  EXPECT_THAT(Keys(next.events), ElementsAre("c"));
}

TEST_F(OutboxTest, WhatIsRolledBackNeverHappened) {
  EXPECT_THAT(database_.RunInTransaction("Fail",
                                         [&](db::Transaction& tx) {
                                           Append(tx, "changed", "rolled back", "");
                                           return absl::AbortedError("no");
                                         }),
              StatusIs(absl::StatusCode::kAborted));
  Commit("kept");
  EXPECT_THAT(Keys(ReadSome("", 1)), ElementsAre("kept"));
}

// The hazard of reading by a sequence: who reads between the two commits would go on after `late`'s id, and
// miss it.
TEST_F(OutboxTest, ATransactionThatBeganFirstAndCommitsLastIsNotSkipped) {
  std::string token;
  ASSERT_OK(database_.RunInTransaction("Late", [&](db::Transaction& tx) {
    Append(tx, "changed", "late", "");
    Commit("early");
    absl::StatusOr<Page> page = Read(database_, "", 10);
    EXPECT_OK(page);
    EXPECT_THAT(Keys(page->events), IsEmpty());
    token = page->next_token;
    return absl::OkStatus();
  }));
  EXPECT_THAT(Keys(ReadSome(token, 2)), ElementsAre("late", "early"));
}

// The same, where ids within the table alone are in another order than the transactions.
TEST_F(OutboxTest, ATransactionThatBeganFirstAndWroteLastIsNotSkipped) {
  Commit("before");
  const std::string token = ReadSome("", 1)[0].token;
  ASSERT_OK(database_.RunInTransaction("Late", [&](db::Transaction& tx) {
    tx.exec("SELECT pg_current_xact_id()");
    Commit("early");
    EXPECT_THAT(Keys(Read(database_, token, 10)->events), IsEmpty());
    Append(tx, "changed", "late", "");
    return absl::OkStatus();
  }));
  EXPECT_THAT(Keys(ReadSome(token, 2)), ElementsAre("late", "early"));
}

TEST_F(OutboxTest, HeadIsBeforeWhatCommitsAfterIt) {
  Commit("old");
  ReadSome("", 1);
  std::string head;
  ASSERT_OK(database_.RunInTransaction("Late", [&](db::Transaction& tx) {
    Append(tx, "changed", "running", "");
    absl::StatusOr<std::string> now = Head(database_);
    EXPECT_OK(now);
    head = *now;
    return absl::OkStatus();
  }));
  Commit("new");
  EXPECT_THAT(Keys(ReadSome(head, 2)), ElementsAre("running", "new"));
}

TEST_F(OutboxTest, ATokenFromBeforeTheTrimmedEventsIsExpired) {
  for (const char* key : {"a", "b"}) Commit(key);
  const std::vector<Event> old = ReadSome("", 2);
  ASSERT_OK(database_.RunInTransaction("Age", [](db::Transaction& tx) {
    tx.exec("UPDATE outbox SET created_at = '2020-01-01'");
    return absl::OkStatus();
  }));
  Commit("c");
  const std::vector<Event> all = ReadSome("", 3);
  EXPECT_THAT(Trim(database_, absl::FromUnixSeconds(1600000000)), IsOkAndHolds(2));
  EXPECT_THAT(Trim(database_, absl::FromUnixSeconds(1600000000)), IsOkAndHolds(0));
  EXPECT_THAT(Read(database_, old[0].token, 10),
              StatusIs(absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED"));
  // Who has seen all that is gone has missed nothing.
  EXPECT_THAT(Keys(ReadSome(old[1].token, 1)), ElementsAre("c"));
  EXPECT_THAT(Keys(ReadSome("", 1)), ElementsAre("c"));
}

TEST_F(OutboxTest, TrimStopsAtTheFirstEventThatIsKept) {
  for (const char* key : {"a", "b", "c"}) Commit(key);
  ReadSome("", 3);
  ASSERT_OK(database_.RunInTransaction("Age", [](db::Transaction& tx) {
    tx.exec("UPDATE outbox SET created_at = '2020-01-01' WHERE key <> 'b'");
    return absl::OkStatus();
  }));
  ReadSome("", 3);
  while (true) {
    ASSERT_OK_AND_ASSIGN(const int64_t trimmed, Trim(database_, absl::FromUnixSeconds(1600000000)));
    if (trimmed > 0) {
      EXPECT_EQ(trimmed, 1);
      break;
    }
  }
  EXPECT_THAT(Keys(ReadSome("", 2)), ElementsAre("b", "c"));
}

TEST_F(OutboxTest, ATokenOfAnotherDatabaseOrOfNothingIsRefused) {
  EXPECT_THAT(Read(database_, "900000000000:1", 10),
              StatusIs(absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED"));
  for (const char* token :
       {"x", "1", "1:", ":1", "1:x", "-1:1", "1:-1", "1:1:1", "99999999999999999999999:1"}) {
    EXPECT_THAT(Read(database_, token, 10),
                StatusIs(absl::StatusCode::kInvalidArgument, "RESUME_TOKEN_INVALID"))
        << token;
  }
}

TEST_F(OutboxTest, PositionsCompareByTransactionThenId) {
  EXPECT_TRUE(IsAfter("10:1", "9:5"));
  EXPECT_TRUE(IsAfter("9:10", "9:9"));
  EXPECT_TRUE(IsAfter("1:0", ""));
  EXPECT_FALSE(IsAfter("9:5", "9:5"));
  EXPECT_FALSE(IsAfter("", ""));
}

}  // namespace
}  // namespace countersign::feed
