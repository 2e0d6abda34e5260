#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_API_METADATA_FILES_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_API_METADATA_FILES_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/rpc/executor.h"
#include "services/package_store/storage/publications.h"

namespace countersign::package_store {

// The repository's files for those who fetch them, which is everybody all the time. A file with a version in
// its name never changes and is kept in memory; for a minute, so that a database that was set back to a
// backup is believed soon. timestamp.json is read each time, but by one query for all who asked before it
// began: who was given a timestamp by one replica is never given an older one by another. Thread-safe.
class MetadataFiles {
 public:
  using Content = std::shared_ptr<const std::string>;
  using Answer = std::function<void(absl::StatusOr<Content>)>;

  // All outlive it, and `executor` runs out of work before it goes.
  MetadataFiles(Publications& publications, rpc::Executor& executor, const Clock& clock)
      : publications_(publications), executor_(executor), clock_(clock) {}

  // Does not block: `answer` is called before it returns or from a thread of the executor. Errors as
  // Publications::GetFile; RESOURCE_EXHAUSTED (SERVER_BUSY).
  void Get(const std::string& file_name, Answer answer);

 private:
  struct Kept {
    Content content;
    absl::Time until;
  };

  void Read(const std::string& file_name);
  void Keep(const std::string& file_name, const Content& content) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Publications& publications_;
  rpc::Executor& executor_;
  const Clock& clock_;

  absl::Mutex mutex_;
  std::map<std::string, Kept> kept_ ABSL_GUARDED_BY(mutex_);
  size_t kept_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // Who waits for the next query of a file; there is an entry as long as one is under way.
  std::map<std::string, std::vector<Answer>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_API_METADATA_FILES_H_
