#ifndef COUNTERSIGN_COMMON_DB_TESTING_TEST_CLUSTER_H_
#define COUNTERSIGN_COMMON_DB_TESTING_TEST_CLUSTER_H_

#include <memory>
#include <string>

namespace countersign::db {

// A PostgreSQL of the test's own, in a new folder below /tmp, reached over a Unix socket only, run by user
// `postgres` when the test is root (PostgreSQL refuses root). Stopped and removed when the test ends, also
// when it crashes or is killed. (When Bazel gives up a sandbox it kills all in it at once; then the folder
// may stay.) Aborts with the server's log when PostgreSQL cannot be started. Thread-safe but for Stop, Start
// and KillHard.
class TestCluster {
 public:
  struct Options {
    bool fsync = true;
    int max_connections = 100;
    int shared_buffers_mib = 32;
  };

  // The one that all tests of a binary share; starts at the first call. Tests that stop the server make one
  // of their own.
  static TestCluster& Shared();

  TestCluster() : TestCluster(Options()) {}
  explicit TestCluster(Options options);
  ~TestCluster();

  TestCluster(const TestCluster&) = delete;
  TestCluster& operator=(const TestCluster&) = delete;

  // The conninfo of a new and empty database, with a superuser's rights on it.
  std::string CreateDatabase();

  void Stop();      // an orderly shutdown that disconnects clients ("fast")
  void Start();     // again, after Stop or KillHard, with the same data and socket; returns when it accepts
                    // connections
  void KillHard();  // SIGKILL of the server and its children: a crash

  // The server's log so far.
  std::string Log() const;

 private:
  class Process;
  std::unique_ptr<Process> process_;
};

}  // namespace countersign::db

#endif  // COUNTERSIGN_COMMON_DB_TESTING_TEST_CLUSTER_H_
