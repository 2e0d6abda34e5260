// The service of echo.proto, for the tests of common/rpc.
#ifndef COUNTERSIGN_COMMON_RPC_TESTING_ECHO_SERVICE_H_
#define COUNTERSIGN_COMMON_RPC_TESTING_ECHO_SERVICE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/handler.h"
#include "echo/v1/echo.pb.h"

namespace countersign::rpc::testing {

inline constexpr char kEchoService[] = "countersign.rpc.testing.echo.v1.EchoService";

// Echo: operators and the service "rollout". EchoLater, Count, Watch, Download, Sum: operators. Closed:
// nobody.
const RoleTable& EchoRoles();

class EchoApi {
 public:
  using Echo = std::function<absl::Status(const Call&, const std::string& text, std::string* answer)>;

  std::unique_ptr<Service> Bind(const RoleTable& roles = EchoRoles());

  // What Echo does instead of answering with the text.
  void OnEcho(Echo echo);

  // Answers every EchoLater that waits; gives how many.
  int AnswerAll(const absl::Status& status);

  // Lets every Watch send its next `count` numbers.
  void Publish(int count);

  // How many Watch streams and Sum calls live.
  int open() const;
  // Waits until `open()` is `count`.
  void AwaitOpen(int count) const;
  // Waits until this many EchoLater calls wait.
  void AwaitLater(int count) const;

 private:
  class Watcher;
  class Counter;
  class Downloader;
  class Summer;

  absl::Status DoEcho(const Call& call, const echo::v1::EchoRequest& request,
                      echo::v1::EchoResponse* response);
  void EchoLater(const Call& call, const echo::v1::EchoRequest& request, echo::v1::EchoResponse* response,
                 Done done);
  absl::StatusOr<std::unique_ptr<Producer<echo::v1::CountResponse>>> Count(
      const Call& call, const echo::v1::CountRequest& request, Waker waker);
  absl::StatusOr<std::unique_ptr<Producer<echo::v1::CountResponse>>> Watch(
      const Call& call, const echo::v1::CountRequest& request, Waker waker);
  absl::StatusOr<std::unique_ptr<Producer<grpc::ByteBuffer>>> Download(const Call& call,
                                                                       const echo::v1::CountRequest& request,
                                                                       Waker waker);
  absl::StatusOr<std::unique_ptr<Consumer<echo::v1::EchoRequest, echo::v1::EchoResponse>>> Sum(
      const Call& call);

  mutable absl::Mutex mutex_;
  Echo echo_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<void(const absl::Status&)>> later_ ABSL_GUARDED_BY(mutex_);
  std::vector<Waker> wakers_ ABSL_GUARDED_BY(mutex_);
  int published_ ABSL_GUARDED_BY(mutex_) = 0;
  int open_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace countersign::rpc::testing

#endif  // COUNTERSIGN_COMMON_RPC_TESTING_ECHO_SERVICE_H_
