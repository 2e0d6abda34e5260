#include "common/db/testing/test_cluster.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <pqxx/pqxx>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::db {
namespace {

std::string Query(const std::string& conninfo, const std::string& sql) {
  pqxx::connection connection(conninfo);
  pqxx::nontransaction reader(connection);
  const pqxx::result result = reader.exec(sql);
  return result.empty() ? "" : result[0][0].c_str();
}

std::string FolderOf(const std::string& conninfo) {
  const std::size_t begin = conninfo.find('/');
  return conninfo.substr(begin, conninfo.find(' ') - begin);
}

TEST(TestClusterTest, EveryDatabaseIsNewAndEmpty) {
  const std::string one = TestCluster::Shared().CreateDatabase();
  const std::string other = TestCluster::Shared().CreateDatabase();
  Query(one, "CREATE TABLE t (i int)");
  EXPECT_EQ(Query(one, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "1");
  EXPECT_EQ(Query(other, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
}

TEST(TestClusterTest, TheServerHasNoTcpPortAndSyncsToDisk) {
  const std::string database = TestCluster::Shared().CreateDatabase();
  EXPECT_EQ(Query(database, "SHOW listen_addresses"), "");
  EXPECT_EQ(Query(database, "SHOW fsync"), "on");
}

TEST(TestClusterTest, WhatIsCommittedSurvivesAStopAndACrash) {
  TestCluster cluster;
  const std::string database = cluster.CreateDatabase();
  Query(database, "CREATE TABLE t (i int)");
  Query(database, "INSERT INTO t VALUES (1)");
  cluster.Stop();
  EXPECT_THROW(Query(database, "SELECT 1"), pqxx::broken_connection);
  cluster.Start();
  Query(database, "INSERT INTO t VALUES (2)");
  cluster.KillHard();
  EXPECT_THROW(Query(database, "SELECT 1"), pqxx::broken_connection);
  cluster.Start();
  EXPECT_EQ(Query(database, "SELECT count(*) FROM t"), "2");
}

TEST(TestClusterTest, NothingIsLeftWhenTheClusterIsDestroyed) {
  std::string folder;
  {
    TestCluster cluster;
    folder = FolderOf(cluster.CreateDatabase());
    EXPECT_TRUE(std::filesystem::exists(folder));
  }
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST(TestClusterTest, NothingIsLeftWhenTheTestIsKilled) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    TestCluster cluster;
    const std::string folder = FolderOf(cluster.CreateDatabase());
    if (write(ends[1], folder.data(), folder.size()) < 0) _exit(1);
    raise(SIGKILL);
  }
  close(ends[1]);
  char folder[200] = {};
  ASSERT_GT(read(ends[0], folder, sizeof folder - 1), 0);
  waitpid(child, nullptr, 0);
  // The guardian inherited this pipe's end: it closes when the guardian has done its work.
  char more;
  EXPECT_EQ(read(ends[0], &more, 1), 0);
  EXPECT_FALSE(std::filesystem::exists(folder));
}

}  // namespace
}  // namespace countersign::db
