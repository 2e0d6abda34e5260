#ifndef COUNTERSIGN_TESTS_LOAD_CHILD_H_
#define COUNTERSIGN_TESTS_LOAD_CHILD_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

// A bare server is a process of its own, as the service is, so that its CPU time is told from the client's:
// this same program again, with a first argument that says so.
namespace countersign::load {

class Child {
 public:
  // Starts this program with `arguments`; returns once it has told its port. Aborts if it does not.
  explicit Child(const std::vector<std::string>& arguments);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  std::string address() const;
  int port() const { return port_; }

 private:
  pid_t pid_ = -1;
  int stdin_ = -1;
  int port_ = 0;
};

// In the child: tells the port, and returns when the parent has gone, however it went.
void ServeUntilOrphaned(int port);

}  // namespace countersign::load

#endif  // COUNTERSIGN_TESTS_LOAD_CHILD_H_
