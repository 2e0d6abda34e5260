#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_BUCKET_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_BUCKET_H_

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/package_store/storage/sigv4.h"

namespace countersign::package_store {

struct BucketOptions {
  std::string url;  // https://endpoint/bucket[/prefix]; http only to a loopback address
  std::string region = "us-east-1";
  std::string credentials_file;  // ParseBucketCredentials(); read again when it changes
  std::string ca_file;           // PEM of who vouches for the endpoint; empty: the system's
  // Called after each attempt at a request: what it was, e.g. "UploadPart", and what came of it: "200", "503"
  // or "none".
  std::function<void(absl::string_view operation, absl::string_view code)> on_request;
  std::function<void(absl::Duration)> sleep;  // between attempts; absl::SleepFor if empty
};

// A bucket of a server that speaks Amazon's S3 (REST, API version 2006-03-01), by libcurl. Keys are below the
// URL's prefix. Every call blocks, and repeats what failed for a passing reason, with growing delays.
// Thread-safe.
//
// Errors besides those named: UNAVAILABLE (BUCKET_UNAVAILABLE) when it does not answer, or asked to be left
// alone, until the last attempt; FAILED_PRECONDITION (BUCKET_MISCONFIGURED) with the flag that is wrong;
// RESOURCE_EXHAUSTED (DISK_FULL); INTERNAL with what the server said. No message has a part of a key.
class Bucket {
 public:
  // Does not connect. INVALID_ARGUMENT (BAD_FLAG) for a URL that is none.
  static absl::StatusOr<std::unique_ptr<Bucket>> Create(BucketOptions options);
  ~Bucket();
  Bucket(const Bucket&) = delete;
  Bucket& operator=(const Bucket&) = delete;

  struct Object {
    std::string key;
    int64_t length = 0;
    std::string etag;
    absl::Time modified;  // only of List()
  };
  // NOT_FOUND.
  absl::StatusOr<Object> Head(absl::string_view key);
  // A small object. NOT_FOUND.
  absl::StatusOr<std::string> Get(absl::string_view key, std::string* etag = nullptr);
  // Exactly the bytes [offset, offset + size). NOT_FOUND.
  absl::Status GetRange(absl::string_view key, int64_t offset, char* buffer, size_t size);
  // Writes a small object: whatever is there ("*any"), where none is ("*none"), or in the place of the one
  // with this entity tag. Returns its entity tag. ABORTED (PRECONDITION) if that is not so; servers that do
  // not know conditions write.
  absl::StatusOr<std::string> Put(absl::string_view key, absl::string_view bytes,
                                  absl::string_view expected_etag);
  static constexpr char kAny[] = "*any";
  static constexpr char kNone[] = "*none";
  // OK if there is none.
  absl::Status Delete(absl::string_view key);
  // Every object whose key begins with `prefix`, in the order of keys.
  absl::Status List(absl::string_view prefix, absl::FunctionRef<absl::Status(const Object&)> visit);

  // A multipart upload, which becomes the object when it is completed. Parts from 1 to 10,000 of at least 5
  // MiB but the last. Unknown to the server: NOT_FOUND. Parts that are not those named by `etags`:
  // FAILED_PRECONDITION (PARTS_CHANGED).
  absl::StatusOr<std::string> CreateMultipart(absl::string_view key);
  absl::StatusOr<std::string> UploadPart(absl::string_view key, absl::string_view upload_id, int number,
                                         absl::string_view bytes);
  absl::Status CompleteMultipart(absl::string_view key, absl::string_view upload_id,
                                 const std::vector<std::string>& etags);
  absl::Status AbortMultipart(absl::string_view key, absl::string_view upload_id);  // OK if unknown
  // Those whose key begins with `prefix`, as far as the server tells (MinIO only of a whole key).
  absl::Status ListMultiparts(absl::string_view prefix,
                              absl::FunctionRef<absl::Status(
                                  const std::string& key, const std::string& upload_id, absl::Time initiated)>
                                  visit);

  // A URL with which anybody may GET the object for `lifetime`.
  absl::StatusOr<std::string> PresignedUrl(absl::string_view key, absl::Time now, absl::Duration lifetime);

 private:
  struct Request;
  struct Response;
  explicit Bucket(BucketOptions options) : options_(std::move(options)) {}

  absl::StatusOr<BucketCredentials> Credentials();
  absl::StatusOr<Response> Perform(const Request& request);
  // One attempt; `*passing` if it is worth another.
  absl::StatusOr<Response> Attempt(const Request& request, bool* passing);
  absl::Status ErrorOf(const Request& request, const Response& response) const;
  std::string PathOf(absl::string_view key) const;

  const BucketOptions options_;
  std::string scheme_;
  std::string host_;
  std::string bucket_path_;  // "/bucket"
  std::string prefix_;       // "" or "prefix/"
  absl::Mutex mutex_;
  std::vector<void*> idle_ ABSL_GUARDED_BY(mutex_);  // libcurl's handles with their connections
  struct stat credentials_stat_ ABSL_GUARDED_BY(mutex_) = {};
  BucketCredentials credentials_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_BUCKET_H_
