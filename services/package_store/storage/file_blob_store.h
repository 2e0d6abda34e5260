#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_FILE_BLOB_STORE_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_FILE_BLOB_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "services/package_store/storage/blob_store.h"

namespace countersign::package_store {

// Images in one folder of a file system that all replicas share:
//
//   uploads/<manufacturer>.<sha256>   what has come of an upload so far; its length is how far it is
//   images/<first two digits>/<sha256>  whole images, whose length and digest were verified; never changed
//   deltas/<name>                       whole deltas; with .partial while they are written
//   records/<name>                      small files of the service
//   repository                          the id of the repository (database) that the folder belongs to
//
// An image appears by a hard link from its verified and synced upload. Who writes an upload holds a lock on
// its file, which the kernel releases when the process dies.
class FileBlobStore : public BlobStore {
 public:
  // Makes the folders. FAILED_PRECONDITION (BLOB_DIR_MISMATCH) if the folder belongs to another repository
  // than `repository_id`, or, when `has_images`, to none yet: its images are elsewhere.
  static absl::StatusOr<std::unique_ptr<FileBlobStore>> Open(const std::string& folder,
                                                             const std::string& repository_id,
                                                             bool has_images);

  // Reads what is there of an upload, to know its digest, unless this process has written it just before.
  absl::StatusOr<std::unique_ptr<Writer>> OpenUpload(absl::string_view manufacturer, absl::string_view sha256,
                                                     int64_t length, bool take_over) override;
  absl::StatusOr<int64_t> CommittedBytes(absl::string_view manufacturer, absl::string_view sha256) override;
  absl::Status RemoveUpload(absl::string_view manufacturer, absl::string_view sha256) override;
  absl::StatusOr<std::unique_ptr<Reader>> OpenImage(absl::string_view sha256, Purpose purpose) override;
  absl::StatusOr<std::string> DownloadUrl(absl::string_view sha256, absl::Time now,
                                          absl::Duration lifetime) override;
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> UploadsBefore(absl::Time before) override;
  absl::Status RemoveLeftovers(absl::Time before) override;
  absl::Status ForEachImageBefore(absl::Time before,
                                  absl::FunctionRef<absl::Status(const std::string&)> visit) override;
  absl::Status RemoveOrphan(absl::string_view sha256) override;
  absl::Status PutDelta(absl::string_view name, int descriptor, int64_t length_bytes) override;
  absl::StatusOr<std::unique_ptr<Reader>> OpenDelta(absl::string_view name) override;
  absl::Status RemoveDelta(absl::string_view name) override;
  absl::Status ForEachDeltaBefore(absl::Time before,
                                  absl::FunctionRef<absl::Status(const std::string&)> visit) override;
  absl::StatusOr<std::string> ReadRecord(absl::string_view name) override;
  absl::Status WriteRecord(absl::string_view name, absl::string_view bytes) override;

 private:
  struct Part;
  class FileWriter;
  class FileReader;
  explicit FileBlobStore(std::string folder) : folder_(std::move(folder)) {}

  std::string UploadPath(absl::string_view manufacturer, absl::string_view sha256) const;
  std::string ImagePath(absl::string_view sha256) const;
  std::string DeltaPath(absl::string_view name) const;
  absl::StatusOr<std::unique_ptr<Reader>> OpenFile(const std::string& path, Purpose purpose);
  // Deltas' files, also those that are not whole, that were last written before `before`.
  absl::StatusOr<std::vector<std::string>> DeltaFilesBefore(absl::Time before) const;

  const std::string folder_;
  absl::Mutex mutex_;
  // Uploads that some writer of this process holds, by path.
  std::map<std::string, std::weak_ptr<Part>> parts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_FILE_BLOB_STORE_H_
