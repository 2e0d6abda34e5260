#include "common/db/migrations.h"

#include <string>
#include <thread>
#include <vector>

#include "common/db/request_ids_migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::db {
namespace {

using ::testing::HasSubstr;

const Migration kOne = {"test", 1, "one", "CREATE TABLE one (i int); INSERT INTO one VALUES (1)"};
const Migration kTwo = {"test", 2, "two", "ALTER TABLE one ADD COLUMN j int; INSERT INTO one VALUES (2, 2)"};
const Migration kThree = {"test", 3, "three", "CREATE INDEX one_i ON one (i)"};
const Migration kOther = {"other", 1, "other", "CREATE TABLE other (i int)"};

class MigrationsTest : public ::testing::Test {
 protected:
  MigrationsTest() : conninfo_(TestCluster::Shared().CreateDatabase()), database_({.conninfo = conninfo_}) {}

  std::string Query(const std::string& sql) {
    return *database_.Read(
        "Query", [&](Reader& reader) { return absl::StatusOr<std::string>(TextOf(reader.exec1(sql)[0])); });
  }
  std::string Applied() {
    return Query(
        "SELECT string_agg(component || number, ' ' ORDER BY applied_at, component, number) FROM "
        "schema_migrations");
  }

  const std::string conninfo_;
  Database database_;
};

TEST_F(MigrationsTest, EachIsAppliedOnceInOrder) {
  ASSERT_OK(Migrate(database_, {{kOther}, {kOne, kTwo}}));
  ASSERT_OK(Migrate(database_, {{kOther}, {kOne, kTwo}}));
  EXPECT_EQ(Applied(), "other1 test1 test2");
  ASSERT_OK(Migrate(database_, {{kOther}, {kOne, kTwo, kThree}}));
  EXPECT_EQ(Applied(), "other1 test1 test2 test3");
  EXPECT_EQ(Query("SELECT count(*) FROM one"), "2");
}

TEST_F(MigrationsTest, ReplicasThatStartTogetherApplyEachOnce) {
  std::vector<std::thread> replicas;
  for (int i = 0; i < 4; ++i) {
    replicas.emplace_back([&] {
      Database database({.conninfo = conninfo_});
      EXPECT_OK(Migrate(database, {{kOther}, {kOne, kTwo, kThree}}));
    });
  }
  for (std::thread& replica : replicas) replica.join();
  EXPECT_EQ(Applied(), "other1 test1 test2 test3");
  EXPECT_EQ(Query("SELECT count(*) FROM one"), "2");
}

TEST_F(MigrationsTest, AnEditedMigrationIsRefused) {
  ASSERT_OK(Migrate(database_, {{kOne}}));
  Migration edited = kOne;
  edited.sql += " ";
  const absl::Status status = Migrate(database_, {{edited, kTwo}});
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "MIGRATION_EDITED"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("test/0001_one"));
  EXPECT_EQ(Applied(), "test1");
}

TEST_F(MigrationsTest, ADatabaseOfANewerProgramIsRefused) {
  ASSERT_OK(Migrate(database_, {{kOne, kTwo}}));
  const absl::Status status = Migrate(database_, {{kOne}, {kOther}});
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "MIGRATION_UNKNOWN"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("test/0002_two"));
  EXPECT_EQ(Applied(), "test1 test2");
}

TEST_F(MigrationsTest, ANumberBelowTheNewestIsRefused) {
  ASSERT_OK(Migrate(database_, {{kOne, kThree}}));
  EXPECT_THAT(Migrate(database_, {{kOne, kTwo, kThree}}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "MIGRATION_OUT_OF_ORDER"));
}

TEST_F(MigrationsTest, AFailureIsNamedAndLeavesTheOnesBefore) {
  const Migration bad = {"test", 2, "bad", "CREATE TABLE half (i int); SELECT no_such_function()"};
  const absl::Status status = Migrate(database_, {{kOne, bad}});
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(std::string(status.message()), HasSubstr("test/0002_bad"));
  EXPECT_EQ(Applied(), "test1");
  EXPECT_EQ(Query("SELECT count(*) FROM pg_tables WHERE tablename = 'half'"), "0");
}

TEST_F(MigrationsTest, AnEmbeddedFileIsAMigration) {
  const std::vector<Migration> embedded = RequestIdsMigrations();
  ASSERT_FALSE(embedded.empty());
  EXPECT_EQ(embedded[0].component, "request_ids");
  EXPECT_EQ(embedded[0].number, 1);
  EXPECT_EQ(embedded[0].name, "request_ids");
  ASSERT_OK(Migrate(database_, {embedded}));
  EXPECT_EQ(Query("SELECT count(*) FROM request_ids"), "0");
}

}  // namespace
}  // namespace countersign::db
