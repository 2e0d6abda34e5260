#include "common/db/request_ids.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::db {
namespace {

constexpr int kThreads = 8;

class RequestIdsTest : public ::testing::Test {
 protected:
  RequestIdsTest()
      : database_({.conninfo = TestCluster::Shared().CreateDatabase(), .max_connections = kThreads}) {
    EXPECT_OK(Migrate(database_,
                      {RequestIdsMigrations(),
                       {{"test", 1, "test", "CREATE TABLE things (id int GENERATED ALWAYS AS IDENTITY)"}}}));
  }

  // A handler of a mutation that makes a thing and answers its number.
  absl::StatusOr<std::string> Create(const std::string& principal, const std::string& id,
                                     const std::string& request,
                                     Isolation isolation = Isolation::kReadCommitted) {
    return database_.RunInTransaction("Create", isolation, [&](Transaction& tx) {
      return Idempotently(tx, principal, "Create", id, request, [&]() -> absl::StatusOr<std::string> {
        if (request == "bad") {
          tx.exec("INSERT INTO things DEFAULT VALUES");
          return absl::FailedPreconditionError("bad");
        }
        return TextOf(tx.exec1("INSERT INTO things DEFAULT VALUES RETURNING id")[0]);
      });
    });
  }

  int Count(const std::string& table) {
    return *database_.Read("Count", [&](Reader& reader) {
      return absl::StatusOr<int>(reader.exec1("SELECT count(*) FROM " + table)[0].as<int>());
    });
  }

  Database database_;
};

TEST_F(RequestIdsTest, ARepetitionGetsTheSameAnswerAndDoesNothing) {
  ASSERT_OK_AND_ASSIGN(const std::string answer, Create("alice", "r1", "request"));
  EXPECT_THAT(Create("alice", "r1", "request"), IsOkAndHolds(answer));
  EXPECT_EQ(Count("things"), 1);
}

TEST_F(RequestIdsTest, AnotherRequestWithTheSameIdIsRefused) {
  ASSERT_OK(Create("alice", "r1", "request"));
  EXPECT_THAT(Create("alice", "r1", "other"),
              StatusIs(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  EXPECT_EQ(Count("things"), 1);
}

TEST_F(RequestIdsTest, IdsAreEachPrincipalsOwn) {
  ASSERT_OK(Create("alice", "r1", "request"));
  ASSERT_OK(Create("bob", "r1", "other"));
  EXPECT_EQ(Count("things"), 2);
}

TEST_F(RequestIdsTest, AFailedRequestIsNotRecorded) {
  EXPECT_THAT(Create("alice", "r1", "bad"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(Count("things"), 0);
  EXPECT_EQ(Count("request_ids"), 0);
  EXPECT_OK(Create("alice", "r1", "request"));
}

TEST_F(RequestIdsTest, WithoutAnIdNothingIsRecorded) {
  ASSERT_OK(Create("alice", "", "request"));
  ASSERT_OK(Create("alice", "", "request"));
  EXPECT_EQ(Count("things"), 2);
  EXPECT_EQ(Count("request_ids"), 0);
}

class RequestIdsIsolationTest : public RequestIdsTest, public ::testing::WithParamInterface<Isolation> {};

TEST_P(RequestIdsIsolationTest, ConcurrentRepetitionsDoItOnce) {
  std::vector<std::string> answers(kThreads);
  for (int round = 0; round < 10; ++round) {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        absl::StatusOr<std::string> answer = Create("alice", std::to_string(round), "request", GetParam());
        EXPECT_OK(answer);
        if (answer.ok()) answers[i] = *answer;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_THAT(answers, ::testing::Each(answers[0]));
    EXPECT_EQ(Count("things"), round + 1);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RequestIdsIsolationTest,
                         ::testing::Values(Isolation::kReadCommitted, Isolation::kRepeatableRead,
                                           Isolation::kSerializable));

TEST_F(RequestIdsTest, OldRecordsArePurged) {
  ASSERT_OK(Create("alice", "old", "request"));
  ASSERT_OK(database_.RunInTransaction("Age", [](Transaction& tx) {
    tx.exec("UPDATE request_ids SET created_at = '2020-01-01'");
    return absl::OkStatus();
  }));
  ASSERT_OK(Create("alice", "new", "request"));
  EXPECT_THAT(PurgeRequestIds(database_, absl::FromUnixSeconds(1600000000)), IsOkAndHolds(1));
  EXPECT_EQ(Count("request_ids"), 1);
  EXPECT_OK(Create("alice", "old", "other"));
}

}  // namespace
}  // namespace countersign::db
