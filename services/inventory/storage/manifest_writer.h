#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_MANIFEST_WRITER_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_MANIFEST_WRITER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/db/coalescing_writer.h"
#include "common/db/database.h"
#include "services/inventory/domain/component.h"
#include "services/inventory/domain/manifest.h"
#include "services/inventory/storage/component_changes.h"

namespace countersign::inventory {

// What became of one report.
struct ReportOutcome {
  std::string ecu_serial;
  std::optional<domain::Refusal> refusal;  // none when it was accepted
  std::optional<domain::State>
      state;  // of the component afterwards; none when it is not one of this gateway's
};

// Writes manifests whose signatures have been checked: compares them with what is stored, and commits what
// follows, many manifests in a transaction. In that transaction a manifest spends its challenge, its counter
// becomes the last one, each report's outcome is stored (state and image, what the image is compared with
// what was published, a row of history and an event in the outbox for what changed, the evidence for what was
// refused). Thread-safe.
class ManifestWriter {
 public:
  using Done = std::function<void(absl::StatusOr<std::vector<ReportOutcome>> outcomes)>;

  struct Options {
    // Manifests of one gateway go to the same thread, so that they are never in two transactions at once.
    int threads = 2;
    size_t max_batch = 256;
    // Of all manifests of a batch together: it bounds how long a transaction holds its locks. One manifest
    // may have more.
    size_t max_batch_reports = 2000;
    size_t max_queued = 2000;
    // How long a manifest may wait for others to share its transaction: what a batch costs is mostly the same
    // however many are in it, and nobody waits at a gateway.
    absl::Duration linger = absl::Milliseconds(10);
    // The outbox's payload.
    EncodeComponent encode;
    // Whether images are compared with what was published, and what an unknown one means.
    bool compare_images = false;
    bool unknown_is_modified = false;
    // Called after a commit that appended to the outbox; must not block.
    std::function<void()> on_change = [] {};
    // A component became MODIFIED, for this reason; after the commit.
    std::function<void(const std::string& reason)> on_modified = [](const std::string&) {};
    // So many incidents were told of; after the commit.
    std::function<void(int count)> on_incidents = [](int) {};
  };

  // `database` must outlive it.
  ManifestWriter(db::Database& database, Options options);
  ~ManifestWriter();
  ManifestWriter(const ManifestWriter&) = delete;
  ManifestWriter& operator=(const ManifestWriter&) = delete;

  // `done` is called once, after the commit, and must not block. FAILED_PRECONDITION (NONCE_MISMATCH,
  // COUNTER_REPLAYED), NOT_FOUND (GATEWAY_UNKNOWN), and what CoalescingWriter and Database return.
  void Submit(domain::CheckedManifest manifest, absl::Time received, Done done);

  // Writes what is queued, and returns when every `done` has been called.
  void Stop();

  // Manifests that wait to be written.
  size_t queued() const;

 private:
  struct Item {
    domain::CheckedManifest manifest;
    absl::Time received;
    std::vector<ReportOutcome> outcomes;
  };
  struct Entry {
    Item* item;
    absl::Status* outcome;
  };
  class Batch;

  absl::Status Flush(absl::Span<Item> items, absl::Span<absl::Status> outcomes);

  db::Database& database_;
  const Options options_;
  std::vector<std::unique_ptr<db::CoalescingWriter<Item>>> writers_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_MANIFEST_WRITER_H_
