#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_PROGRAM_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_PROGRAM_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "common/rpc/testing/test_server.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "services/package_store/testing/publisher.h"

namespace countersign::package_store::testing {

// What the replicas of one store share: a new database, a place for images, and the online keys.
struct StorePlace {
  explicit StorePlace(const Publisher& publisher, const std::string& database = "");

  std::string folder;
  std::string database;
  std::string snapshot_key;  // the program's flags
  std::string timestamp_key;
  std::string log_key;
  std::vector<std::string> blob_flags;  // where the images are: a new folder, unless a test says otherwise
};

// The real program as a process of its own, which a test may kill at any moment. What cannot fail in a test
// aborts when it does. Not thread-safe.
class Program {
 public:
  // `pki` outlives it. `flags` are added to the program's command line.
  Program(rpc::testing::TestPki* pki, StorePlace place, std::vector<std::string> flags = {});
  ~Program();  // as Kill()
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Returns once it serves, on ports of its own.
  void Start();
  // SIGKILL, if it runs.
  void Kill();
  // SIGTERM; the exit status, or -1 when a signal ended it.
  int Stop();

  pid_t pid() const { return pid_; }
  std::string address() const { return address_; }
  int http_port() const { return http_port_; }
  // On a connection of its own. A call that fails is not tried again.
  std::unique_ptr<v1::PackageStoreService::Stub> As(const rpc::Identity& identity) const;

 private:
  rpc::testing::TestPki* const pki_;
  const StorePlace place_;
  const std::vector<std::string> flags_;
  const std::string port_file_;
  std::string address_;
  int http_port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace countersign::package_store::testing

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_PROGRAM_H_
