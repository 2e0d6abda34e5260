#include "common/db/database.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/barrier.h"
#include "absl/synchronization/notification.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::db {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

absl::Status Exec(Database& database, const std::string& sql) {
  return database.RunInTransaction("Exec", [&](Transaction& tx) {
    tx.exec(sql);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> Query(Database& database, const std::string& sql) {
  return database.Read(
      "Query", [&](Reader& reader) -> absl::StatusOr<std::string> { return TextOf(reader.exec1(sql)[0]); });
}

class DatabaseTest : public ::testing::Test {
 protected:
  Options MakeOptions() {
    Options options;
    options.conninfo = TestCluster::Shared().CreateDatabase();
    options.sleep = [this](absl::Duration delay) {
      absl::MutexLock lock(&mutex_);
      sleeps_.push_back(delay);
    };
    options.observer = [this](const Observation& observation) {
      absl::MutexLock lock(&mutex_);
      names_.emplace_back(observation.name);
      outcomes_.push_back(observation.outcome);
      attempts_.push_back(observation.attempts);
    };
    return options;
  }

  absl::Mutex mutex_;
  std::vector<absl::Duration> sleeps_;
  std::vector<std::string> names_;
  std::vector<absl::StatusCode> outcomes_;
  std::vector<int> attempts_;
};

TEST_F(DatabaseTest, AnOkBodyCommitsAndItsValueComesBack) {
  Database database(MakeOptions());
  ASSERT_OK(Exec(database, "CREATE TABLE t (i int)"));
  EXPECT_THAT(
      database.RunInTransaction("Insert",
                                [](Transaction& tx) -> absl::StatusOr<int> {
                                  return tx.exec1("INSERT INTO t VALUES (7) RETURNING i")[0].as<int>();
                                }),
      IsOkAndHolds(7));
  EXPECT_THAT(Query(database, "SELECT i FROM t"), IsOkAndHolds("7"));
  EXPECT_THAT(names_, ElementsAre("Exec", "Insert", "Query"));
}

TEST_F(DatabaseTest, AnErrorOfTheBodyRollsBackAndComesBackAsItIs) {
  Database database(MakeOptions());
  ASSERT_OK(Exec(database, "CREATE TABLE t (i int)"));
  EXPECT_THAT(database.RunInTransaction("Insert",
                                        [](Transaction& tx) {
                                          tx.exec("INSERT INTO t VALUES (7)");
                                          return absl::AbortedError("etag");
                                        }),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(Query(database, "SELECT count(*) FROM t"), IsOkAndHolds("0"));
  EXPECT_THAT(sleeps_, IsEmpty());
}

TEST_F(DatabaseTest, ConstraintsAreNamedWithinTheProcessOnly) {
  Database database(MakeOptions());
  ASSERT_OK(
      Exec(database,
           "CREATE TABLE t (i int CONSTRAINT t_key PRIMARY KEY, j int CONSTRAINT j_positive CHECK (j > 0))"));
  ASSERT_OK(Exec(database, "INSERT INTO t VALUES (1, 1)"));
  const absl::Status twice = Exec(database, "INSERT INTO t VALUES (1, 1)");
  EXPECT_THAT(twice, StatusIs(absl::StatusCode::kAlreadyExists, "UNIQUE_VIOLATION"));
  EXPECT_EQ(ConstraintOf(twice), "t_key");
  EXPECT_THAT(std::string(twice.message()), Not(::testing::HasSubstr("t_key")));
  const absl::Status negative = Exec(database, "INSERT INTO t VALUES (2, -1)");
  EXPECT_THAT(negative, StatusIs(absl::StatusCode::kFailedPrecondition, "CONSTRAINT_VIOLATION"));
  EXPECT_EQ(ConstraintOf(negative), "j_positive");
  EXPECT_EQ(ConstraintOf(absl::OkStatus()), "");
}

TEST_F(DatabaseTest, AConstraintThatFailsAtCommitIsDefinite) {
  Database database(MakeOptions());
  ASSERT_OK(Exec(database, "CREATE TABLE t (i int UNIQUE DEFERRABLE INITIALLY DEFERRED)"));
  EXPECT_THAT(Exec(database, "INSERT INTO t VALUES (1), (1)"), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(DatabaseTest, OtherErrorsAreInternalAndLeakNothing) {
  Database database(MakeOptions());
  const absl::Status status = Exec(database, "SELECT * FROM secret_table");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal, "DATABASE_ERROR"));
  EXPECT_THAT(std::string(status.message()), Not(::testing::HasSubstr("secret")));
  const absl::Status thrown =
      database.Read("Throw", [](Reader&) -> absl::Status { throw std::runtime_error("x"); });
  EXPECT_THAT(thrown, StatusIs(absl::StatusCode::kInternal, "DATABASE_ERROR"));
  EXPECT_OK(database.Ping());
}

TEST_F(DatabaseTest, TextThatIsNotUtf8IsTheCallersFault) {
  Database database(MakeOptions());
  EXPECT_THAT(database.Read("Text",
                            [](Reader& reader) {
                              reader.exec_params("SELECT $1::text", std::string("\xff"));
                              return absl::OkStatus();
                            }),
              StatusIs(absl::StatusCode::kInvalidArgument, "INVALID_TEXT"));
}

TEST_F(DatabaseTest, AStatementThatTakesTooLongIsStopped) {
  Options options = MakeOptions();
  options.statement_timeout = absl::Milliseconds(20);
  Database database(options);
  EXPECT_THAT(Exec(database, "SELECT pg_sleep(60)"),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "STATEMENT_TIMEOUT"));
}

TEST_F(DatabaseTest, TheSessionsSettingsAreOurs) {
  Database database(MakeOptions());
  EXPECT_THAT(Query(database, "SHOW timezone"), IsOkAndHolds("UTC"));
  EXPECT_THAT(Query(database, "SHOW statement_timeout"), IsOkAndHolds("30s"));
  EXPECT_THAT(Query(database, "SHOW application_name"), IsOkAndHolds("countersign"));
}

TEST_F(DatabaseTest, AUriWithItsOwnOptionsIsTakenToo) {
  Options options = MakeOptions();
  const std::string name = options.conninfo.substr(options.conninfo.rfind('=') + 1);
  const std::size_t begin = options.conninfo.find('/');
  const std::string folder = options.conninfo.substr(begin, options.conninfo.find(' ') - begin);
  options.conninfo =
      absl::StrCat("postgresql:///", name, "?host=", folder, "&user=postgres&options=-c%20work_mem%3D7MB");
  Database database(options);
  EXPECT_THAT(Query(database, "SHOW work_mem"), IsOkAndHolds("7MB"));
  EXPECT_THAT(Query(database, "SHOW timezone"), IsOkAndHolds("UTC"));
}

TEST_F(DatabaseTest, ATransactionThatCannotBeSerialisedRunsAgain) {
  Database database(MakeOptions());
  ASSERT_OK(Exec(database, "CREATE TABLE t (i int); INSERT INTO t VALUES (0)"));
  int runs = 0;
  ASSERT_OK(database.RunInTransaction("Increment", Isolation::kSerializable, [&](Transaction& tx) {
    const int value = tx.exec1("SELECT i FROM t")[0].as<int>();
    // Another transaction gets in between, the first two times.
    if (++runs <= 2) {
      EXPECT_OK(Exec(database, "UPDATE t SET i = i + 10"));
    }
    tx.exec_params("UPDATE t SET i = $1", value + 1);
    return absl::OkStatus();
  }));
  EXPECT_EQ(runs, 3);
  EXPECT_THAT(Query(database, "SELECT i FROM t"), IsOkAndHolds("21"));
  EXPECT_THAT(sleeps_, SizeIs(2));
  EXPECT_THAT(attempts_.back(), 1);
  EXPECT_THAT(*std::max_element(attempts_.begin(), attempts_.end()), 3);
}

TEST_F(DatabaseTest, AConflictAtCommitRunsAgainToo) {
  Database database(MakeOptions());
  ASSERT_OK(Exec(database, "CREATE TABLE t (i int)"));
  int runs = 0;
  // Write skew: only visible when both commit.
  ASSERT_OK(database.RunInTransaction("One", Isolation::kSerializable, [&](Transaction& tx) {
    const std::string count = tx.exec1("SELECT count(*) FROM t")[0].c_str();
    tx.exec("INSERT INTO t VALUES (" + count + ")");
    if (++runs == 1) {
      EXPECT_OK(database.RunInTransaction("Other", Isolation::kSerializable, [&](Transaction& other) {
        const std::string other_count = other.exec1("SELECT count(*) FROM t")[0].c_str();
        other.exec("INSERT INTO t VALUES (" + other_count + ")");
        return absl::OkStatus();
      }));
    }
    return absl::OkStatus();
  }));
  EXPECT_EQ(runs, 2);
  EXPECT_THAT(Query(database, "SELECT string_agg(i::text, ',' ORDER BY i) FROM t"), IsOkAndHolds("0,1"));
}

TEST_F(DatabaseTest, RetriesAreBoundedAndBackOff) {
  Options options = MakeOptions();
  options.max_attempts = 5;
  Database database(options);
  ASSERT_OK(Exec(database, "CREATE TABLE t (i int); INSERT INTO t VALUES (0)"));
  int runs = 0;
  EXPECT_THAT(database.RunInTransaction("Unlucky", Isolation::kRepeatableRead,
                                        [&](Transaction& tx) {
                                          tx.exec("SELECT i FROM t");
                                          ++runs;
                                          EXPECT_OK(Exec(database, "UPDATE t SET i = i + 10"));
                                          tx.exec("UPDATE t SET i = 1");
                                          return absl::OkStatus();
                                        }),
              StatusIs(absl::StatusCode::kAborted, "SERIALIZATION_CONFLICT"));
  EXPECT_EQ(runs, 5);
  ASSERT_THAT(sleeps_, SizeIs(4));
  for (const absl::Duration sleep : sleeps_) {
    EXPECT_GT(sleep, absl::ZeroDuration());
    EXPECT_LE(sleep, absl::Milliseconds(250));
  }
  EXPECT_GT(sleeps_[3], sleeps_[0]);
}

TEST_F(DatabaseTest, ADeadlockIsResolvedByRunningOneAgain) {
  Database database(MakeOptions());
  ASSERT_OK(Exec(database, "CREATE TABLE t (k int PRIMARY KEY, i int); INSERT INTO t VALUES (1, 0), (2, 0)"));
  absl::Notification first_locked, second_locked;
  std::atomic<int> runs = 0;
  const auto update = [&](int one, int other, absl::Notification& mine, absl::Notification& others) {
    return database.RunInTransaction("Update", [&](Transaction& tx) {
      ++runs;
      tx.exec("SET LOCAL deadlock_timeout = '10ms'");
      tx.exec_params("UPDATE t SET i = i + 1 WHERE k = $1", one);
      if (!mine.HasBeenNotified()) mine.Notify();
      others.WaitForNotification();
      tx.exec_params("UPDATE t SET i = i + 1 WHERE k = $1", other);
      return absl::OkStatus();
    });
  };
  std::thread thread([&] { EXPECT_OK(update(1, 2, first_locked, second_locked)); });
  EXPECT_OK(update(2, 1, second_locked, first_locked));
  thread.join();
  EXPECT_EQ(runs, 3);
  EXPECT_THAT(Query(database, "SELECT sum(i) FROM t"), IsOkAndHolds("4"));
}

TEST_F(DatabaseTest, ASnapshotSeesOneStateAndWritesNothing) {
  Database database(MakeOptions());
  ASSERT_OK(Exec(database, "CREATE TABLE t (i int)"));
  EXPECT_OK(database.RunInTransaction("List", Isolation::kSnapshot, [&](Transaction& tx) {
    EXPECT_EQ(tx.exec1("SELECT count(*) FROM t")[0].as<int>(), 0);
    EXPECT_OK(Exec(database, "INSERT INTO t VALUES (1)"));
    EXPECT_EQ(tx.exec1("SELECT count(*) FROM t")[0].as<int>(), 0);
    return absl::OkStatus();
  }));
}

TEST_F(DatabaseTest, AFullPoolIsRefusedAfterTheDeadline) {
  Options options = MakeOptions();
  options.max_connections = 1;
  options.acquire_timeout = absl::Milliseconds(10);
  Database database(options);
  EXPECT_OK(database.Read("Outer", [&](Reader&) {
    EXPECT_THAT(database.Ping(), StatusIs(absl::StatusCode::kResourceExhausted, "DATABASE_BUSY"));
    return absl::OkStatus();
  }));
  EXPECT_OK(database.Ping());
}

TEST_F(DatabaseTest, ThePoolOpensNoMoreConnectionsThanItMay) {
  Options options = MakeOptions();
  options.max_connections = 3;
  Database database(options);
  EXPECT_EQ(database.pool_state().open, 0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 12; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 20; ++j) {
        EXPECT_OK(database.Ping());
        EXPECT_LE(database.pool_state().open, 3);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(database.pool_state().idle, database.pool_state().open);
}

TEST_F(DatabaseTest, AnUnusableConninfoIsUnavailable) {
  Options options;
  options.conninfo = "host=/nonexistent";
  Database database(options);
  EXPECT_THAT(database.Ping(), StatusIs(absl::StatusCode::kUnavailable, "DATABASE_UNAVAILABLE"));
  options.conninfo = "no=sense";
  Database senseless(options);
  EXPECT_THAT(senseless.Ping(), Not(IsOk()));
}

TEST_F(DatabaseTest, ConnectionsThatDiedInThePoolFailNobody) {
  Database database(MakeOptions());
  ASSERT_OK(Exec(database, "CREATE TABLE t (i int)"));
  const auto kill_idle = [&] {
    // Opens a second connection, which ends the first, and stays in the pool.
    ASSERT_OK(database.Read("Outer", [&](Reader& reader) {
      const std::string mine = reader.exec1("SELECT pg_backend_pid()")[0].c_str();
      EXPECT_OK(database.Ping());
      reader.exec(
          "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() "
          "AND pid <> " +
          mine);
      return absl::OkStatus();
    }));
  };
  kill_idle();
  int runs = 0;
  for (int i = 0; i < 2; ++i) {
    EXPECT_OK(database.RunInTransaction("Insert", [&](Transaction& tx) {
      ++runs;
      // Keeps one connection, so that the next needs the other.
      EXPECT_OK(Query(database, "SELECT 1").status());
      tx.exec("INSERT INTO t VALUES (1)");
      return absl::OkStatus();
    }));
  }
  EXPECT_EQ(runs, 2);
  kill_idle();
  EXPECT_THAT(Query(database, "SELECT count(*) FROM t"), IsOkAndHolds("2"));
}

TEST_F(DatabaseTest, PreparedStatementsServeEveryConnection) {
  Options options = MakeOptions();
  options.max_connections = 2;
  Database database(options);
  const auto read = [&](Reader& reader) {
    return absl::StatusOr<std::string>(
        TextOf(ExecPrepared(reader, "test.double", "SELECT $1::int * 2", 21)[0][0]));
  };
  EXPECT_OK(database.Read("Outer", [&](Reader& reader) {
    EXPECT_THAT(read(reader), IsOkAndHolds("42"));
    EXPECT_THAT(database.Read("Inner", read), IsOkAndHolds("42"));
    EXPECT_THAT(read(reader), IsOkAndHolds("42"));
    return absl::OkStatus();
  }));
}

// The server of these tests goes away, so it is their own.
class FailingServerTest : public DatabaseTest {
 protected:
  FailingServerTest() {
    Options options = MakeOptions();
    options.conninfo = cluster_.CreateDatabase();
    database_.emplace(options);
    EXPECT_OK(Exec(*database_, "CREATE TABLE t (i int)"));
  }

  TestCluster cluster_;
  std::optional<Database> database_;
};

TEST_F(FailingServerTest, AServerKilledMidTransactionIsUnavailableAndNothingIsChanged) {
  int runs = 0;
  EXPECT_THAT(database_->RunInTransaction("Insert",
                                          [&](Transaction& tx) {
                                            ++runs;
                                            tx.exec("INSERT INTO t VALUES (1)");
                                            cluster_.KillHard();
                                            tx.exec("INSERT INTO t VALUES (2)");
                                            return absl::OkStatus();
                                          }),
              StatusIs(absl::StatusCode::kUnavailable, "DATABASE_UNAVAILABLE"));
  EXPECT_EQ(runs, 1);
  EXPECT_THAT(database_->Ping(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(database_->pool_state().open, 0);
  cluster_.Start();
  EXPECT_THAT(Query(*database_, "SELECT count(*) FROM t"), IsOkAndHolds("0"));
  EXPECT_OK(Exec(*database_, "INSERT INTO t VALUES (3)"));
}

TEST_F(FailingServerTest, AServerKilledBeforeTheCommitIsAnsweredIsUnknownAndNotRetried) {
  int runs = 0;
  EXPECT_THAT(database_->RunInTransaction("Insert",
                                          [&](Transaction& tx) {
                                            ++runs;
                                            tx.exec("INSERT INTO t VALUES (1)");
                                            cluster_.KillHard();
                                            return absl::OkStatus();
                                          }),
              StatusIs(absl::StatusCode::kUnknown, "OUTCOME_UNKNOWN"));
  EXPECT_EQ(runs, 1);
  cluster_.Start();
  EXPECT_OK(database_->Ping());
}

TEST_F(FailingServerTest, AnOrderlyStopIsUnavailableAndARestartIsNotNoticed) {
  EXPECT_THAT(database_->RunInTransaction("Insert",
                                          [&](Transaction& tx) {
                                            tx.exec("INSERT INTO t VALUES (1)");
                                            cluster_.Stop();
                                            tx.exec("INSERT INTO t VALUES (2)");
                                            return absl::OkStatus();
                                          }),
              StatusIs(absl::StatusCode::kUnavailable));
  cluster_.Start();
  EXPECT_OK(database_->Ping());
  cluster_.Stop();
  cluster_.Start();
  EXPECT_OK(Exec(*database_, "INSERT INTO t VALUES (1)"));
}

}  // namespace
}  // namespace countersign::db
