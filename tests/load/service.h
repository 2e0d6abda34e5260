#ifndef COUNTERSIGN_TESTS_LOAD_SERVICE_H_
#define COUNTERSIGN_TESTS_LOAD_SERVICE_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/rpc/testing/test_server.h"

namespace countersign::load {

// A service's real program as a process of its own. What cannot fail aborts when it does.
class Service {
 public:
  // Starts services/<name>/<name> as service/<name>, on ports of its own, with `flags` beside the common
  // ones; returns once it serves. `pki` outlives it.
  Service(rpc::testing::TestPki* pki, const std::string& name, const std::vector<std::string>& flags);
  ~Service();  // SIGKILL
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  pid_t pid() const { return pid_; }
  const std::string& address() const { return address_; }
  const rpc::Identity& identity() const { return identity_; }

 private:
  const rpc::Identity identity_;
  std::string address_;
  pid_t pid_ = -1;
};

}  // namespace countersign::load

#endif  // COUNTERSIGN_TESTS_LOAD_SERVICE_H_
