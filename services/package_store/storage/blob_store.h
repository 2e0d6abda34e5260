#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_BLOB_STORE_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_BLOB_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace countersign::package_store {

// The bytes of images, in one folder of a file system that all replicas share:
//
//   uploads/<manufacturer>.<sha256>   what has come of an upload so far; its length is how far it is
//   images/<first two digits>/<sha256>  whole images, whose length and digest were verified; never changed
//   repository                          the id of the repository (database) that the folder belongs to
//
// An image appears by a hard link from its verified and synced upload, so it is there as a whole or not at
// all, whenever the process or the machine stops. Who writes an upload holds a lock on its file, which the
// kernel releases when the process dies. Thread-safe.
//
// Errors: RESOURCE_EXHAUSTED (DISK_FULL); INTERNAL with the system's message for what else a disk can do.
class BlobStore {
  struct Part;

 public:
  // Makes the folders. FAILED_PRECONDITION (BLOB_DIR_MISMATCH) if the folder belongs to another repository
  // than `repository_id`, or, when `has_images`, to none yet: its images are elsewhere.
  static absl::StatusOr<std::unique_ptr<BlobStore>> Open(const std::string& folder,
                                                         const std::string& repository_id, bool has_images);

  BlobStore(const BlobStore&) = delete;
  BlobStore& operator=(const BlobStore&) = delete;

  // One stream's hold on an upload. Another writer of the same upload in this process takes it over, and the
  // first gets ABORTED (UPLOAD_TAKEN_OVER): a client whose connection died does not wait for the server to
  // notice. Not thread-safe.
  class Writer {
   public:
    ~Writer();
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    // Bytes in the file.
    int64_t size() const;
    bool full() const { return size() == length_; }

    // Appends `data` at `offset`, which must be where the file ends: CheckChunk()'s errors. After an error
    // size() tells how much of it was written.
    absl::Status Append(int64_t offset, absl::string_view data);

    // Makes what was appended survive a power cut.
    absl::Status Sync();

    // With all bytes there: syncs them and compares with the digest. INVALID_ARGUMENT (DIGEST_MISMATCH), and
    // the upload is empty again.
    absl::Status Verify();

    // After Verify(): makes it an image. Does nothing if it is one already. Wants the caller to hold the
    // database's lock on this digest, so that RemoveOrphan() does not take it away before it is recorded.
    absl::Status Publish();

    // After the image was recorded: removes the upload's file.
    void Discard();

   private:
    friend class BlobStore;
    Writer(std::shared_ptr<Part> part, int64_t length, uint64_t generation)
        : part_(std::move(part)), length_(length), generation_(generation) {}

    std::shared_ptr<Part> part_;
    const int64_t length_;
    const uint64_t generation_;
  };

  // Goes on with the upload of the image `sha256` with `length` bytes, or begins it. A file that is longer
  // than `length` begins anew. Reads what is there, to know its digest, unless this process has written it
  // just before. ABORTED (UPLOAD_BUSY) while another replica writes it or, without `take_over`, this one.
  absl::StatusOr<std::unique_ptr<Writer>> OpenUpload(absl::string_view manufacturer, absl::string_view sha256,
                                                     int64_t length, bool take_over);

  // Bytes of the upload that a power cut would leave; 0 if there is none.
  absl::StatusOr<int64_t> CommittedBytes(absl::string_view manufacturer, absl::string_view sha256);

  // Forgets the upload's bytes. ABORTED (UPLOAD_BUSY) while somebody writes them.
  absl::Status RemoveUpload(absl::string_view manufacturer, absl::string_view sha256);

  // Reads an image. Thread-compatible.
  class Reader {
   public:
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    int64_t length() const { return length_; }
    // Fills `size` bytes at `buffer` from `offset` on; all of them must be within the image.
    absl::Status Read(int64_t offset, char* buffer, size_t size) const;

   private:
    friend class BlobStore;
    Reader(int fd, int64_t length) : fd_(fd), length_(length) {}
    const int fd_;
    const int64_t length_;
  };

  // NOT_FOUND if no such image is stored.
  absl::StatusOr<std::unique_ptr<Reader>> OpenImage(absl::string_view sha256) const;

  // Uploads (manufacturer, sha256) whose file was last written before `before`.
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> UploadsBefore(absl::Time before) const;

  // Digests of images whose file was last linked before `before`.
  absl::Status ForEachImageBefore(absl::Time before,
                                  absl::FunctionRef<absl::Status(const std::string&)> visit) const;

  // Removes an image that no record names. The caller holds the database's lock on this digest.
  absl::Status RemoveOrphan(absl::string_view sha256);

 private:
  explicit BlobStore(std::string folder) : folder_(std::move(folder)) {}

  std::string UploadPath(absl::string_view manufacturer, absl::string_view sha256) const;
  std::string ImagePath(absl::string_view sha256) const;

  const std::string folder_;
  absl::Mutex mutex_;
  // Uploads that some writer of this process holds, by path.
  std::map<std::string, std::weak_ptr<Part>> parts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_BLOB_STORE_H_
