#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_BLOB_STORE_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_BLOB_STORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::package_store {

// The bytes of images, and of deltas between them, in a place that all replicas share and that belongs to one
// repository (database). An image is there as a whole, with the right length and digest, or not at all,
// whenever a process or a machine stops. Thread-safe.
//
// Errors: RESOURCE_EXHAUSTED (DISK_FULL); UNAVAILABLE if the place does not answer; INTERNAL for what else
// can go wrong with it.
class BlobStore {
 public:
  virtual ~BlobStore() = default;
  BlobStore(const BlobStore&) = delete;
  BlobStore& operator=(const BlobStore&) = delete;

  // One stream's hold on an upload. Another writer of the same upload in this process takes it over, and the
  // first gets ABORTED (UPLOAD_TAKEN_OVER): a client whose connection died does not wait for the server to
  // notice. Not thread-safe.
  class Writer {
   public:
    virtual ~Writer() = default;
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    // Bytes taken so far.
    virtual int64_t size() const = 0;
    bool full() const { return size() == length_; }

    // Appends `data` at `offset`, which must be size(): CheckChunk()'s errors. After an error size() tells
    // how much is kept. ABORTED (UPLOAD_LOST): it was removed, or finished, elsewhere; ask where it stands.
    virtual absl::Status Append(int64_t offset, absl::string_view data) = 0;

    // Makes what it can of what was appended survive the end of this machine, and returns how many bytes
    // would.
    virtual absl::StatusOr<int64_t> Sync() = 0;

    // With all bytes there: makes them survive and compares them with the digest. INVALID_ARGUMENT
    // (DIGEST_MISMATCH), and the upload is empty again.
    virtual absl::Status Verify() = 0;

    // After Verify(): makes it an image. With `replace`, in the place of one that is damaged; otherwise does
    // nothing if there is one already. May be repeated. Wants the caller to hold the database's lock on this
    // digest, so that RemoveOrphan() does not take it away before it is recorded. ABORTED (UPLOAD_LOST).
    virtual absl::Status Publish(bool replace) = 0;

    // After the image was recorded: forgets the upload.
    virtual void Discard() = 0;

   protected:
    explicit Writer(int64_t length) : length_(length) {}
    const int64_t length_;
  };

  // Goes on with the upload of the image `sha256` with `length` bytes, or begins it. An upload that is longer
  // than `length` begins anew. ABORTED (UPLOAD_BUSY) while another replica writes it, where that can be told,
  // or, without `take_over`, this one.
  virtual absl::StatusOr<std::unique_ptr<Writer>> OpenUpload(absl::string_view manufacturer,
                                                             absl::string_view sha256, int64_t length,
                                                             bool take_over) = 0;

  // Bytes of the upload that would survive the end of this machine: where to go on; 0 if there is none.
  virtual absl::StatusOr<int64_t> CommittedBytes(absl::string_view manufacturer,
                                                 absl::string_view sha256) = 0;

  // Forgets the upload's bytes. ABORTED (UPLOAD_BUSY) while this process writes them.
  virtual absl::Status RemoveUpload(absl::string_view manufacturer, absl::string_view sha256) = 0;

  // Reads an image or a delta. Not thread-safe.
  class Reader {
   public:
    virtual ~Reader() = default;
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    int64_t length() const { return length_; }
    // Fills `size` bytes at `buffer` from `offset` on; all of them must be within the image.
    virtual absl::Status Read(int64_t offset, char* buffer, size_t size) = 0;

   protected:
    explicit Reader(int64_t length) : length_(length) {}
    const int64_t length_;
  };

  enum class Purpose {
    kServe,  // as fast as it goes, from caches too
    kScrub,  // what the disk has, not what a cache remembers
  };
  // NOT_FOUND if no such image is stored.
  virtual absl::StatusOr<std::unique_ptr<Reader>> OpenImage(absl::string_view sha256, Purpose purpose) = 0;

  // A URL at which anybody can GET the image, with ranges, until `now` + `lifetime`. FAILED_PRECONDITION
  // (NO_BUCKET) if the store is not a bucket.
  virtual absl::StatusOr<std::string> DownloadUrl(absl::string_view sha256, absl::Time now,
                                                  absl::Duration lifetime) = 0;

  // Uploads (manufacturer, sha256) that were last written before `before`.
  virtual absl::StatusOr<std::vector<std::pair<std::string, std::string>>> UploadsBefore(
      absl::Time before) = 0;

  // Removes what replicas that died before `before` left behind and no upload names.
  virtual absl::Status RemoveLeftovers(absl::Time before) = 0;

  // Digests of images that appeared before `before`.
  virtual absl::Status ForEachImageBefore(absl::Time before,
                                          absl::FunctionRef<absl::Status(const std::string&)> visit) = 0;

  // Removes an image that no record names. The caller holds the database's lock on this digest.
  virtual absl::Status RemoveOrphan(absl::string_view sha256) = 0;

  // Deltas have names that their maker gives them, 32 lower-case hexadecimal digits. They can be made again:
  // to lose one costs nothing but time.

  // Stores the first `length_bytes` of the file at a descriptor as a delta: all of it or nothing.
  virtual absl::Status PutDelta(absl::string_view name, int descriptor, int64_t length_bytes) = 0;
  // NOT_FOUND if there is no such delta.
  virtual absl::StatusOr<std::unique_ptr<Reader>> OpenDelta(absl::string_view name) = 0;
  // OK if there is none.
  virtual absl::Status RemoveDelta(absl::string_view name) = 0;
  // Names of deltas that appeared before `before`.
  virtual absl::Status ForEachDeltaBefore(absl::Time before,
                                          absl::FunctionRef<absl::Status(const std::string&)> visit) = 0;

  // A small file, of at most 64 KiB, that the service keeps beside the images, by its name of [a-z-].
  // NOT_FOUND if it was never written.
  virtual absl::StatusOr<std::string> ReadRecord(absl::string_view name) = 0;
  // Makes it hold exactly `bytes`, so that it survives and whoever reads it sees the old bytes or the new.
  virtual absl::Status WriteRecord(absl::string_view name, absl::string_view bytes) = 0;

 protected:
  BlobStore() = default;
};

// What Writers and stores answer: ABORTED (UPLOAD_BUSY), ABORTED (UPLOAD_TAKEN_OVER),
// INVALID_ARGUMENT (DIGEST_MISMATCH).
absl::Status UploadBusy();
absl::Status UploadTakenOver();
absl::Status DigestMismatch(int64_t size, absl::string_view found, absl::string_view announced);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_BLOB_STORE_H_
