#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_S3_SERVER_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_S3_SERVER_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "services/package_store/storage/bucket.h"

namespace countersign::package_store::testing {

// A real S3 server, versitygw on a folder of its own, with TLS and one bucket. tests/s3/build makes it, and
// COUNTERSIGN_VERSITYGW says where it is, as tools/test does. Aborts when it is not there. Not thread-safe.
class S3Server {
 public:
  S3Server();
  ~S3Server();  // as Kill()
  S3Server(const S3Server&) = delete;
  S3Server& operator=(const S3Server&) = delete;

  // Returns once it serves, always on the same port and data.
  void Start();
  void Kill();

  // A store's place in the bucket.
  BucketOptions Options(absl::string_view prefix) const;
  // The same for a package store's command line.
  std::vector<std::string> Flags(absl::string_view prefix) const;
  // The file that an object's bytes are in.
  std::string FileOf(absl::string_view prefix, absl::string_view key) const;

  std::string url() const;  // of the server
  // GETs a URL of this server as anybody would, the bytes of `range` ("4-7") or all: HTTP status and body.
  std::pair<int, std::string> Get(const std::string& url, const std::string& range = "") const;
  std::string folder() const { return folder_; }
  std::string credentials_file() const { return folder_ + "/credentials"; }
  std::string ca_file() const { return folder_ + "/ca.crt"; }

 private:
  std::string folder_;
  int port_ = 0;
  int reservation_ = -1;  // a socket that keeps the port ours
  pid_t pid_ = -1;
};

}  // namespace countersign::package_store::testing

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_S3_SERVER_H_
