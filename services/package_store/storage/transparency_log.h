#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_TRANSPARENCY_LOG_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_TRANSPARENCY_LOG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/signer.h"
#include "common/db/database.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/entry.h"
#include "common/tlog/note.h"
#include "common/trust/metadata.h"
#include "services/package_store/storage/blob_store.h"

namespace countersign::package_store {

// The transparency log (PLUS-3): what the store publishes is an entry of it, in the same transaction. A
// publication
//   1. calls LockRepository(tx, kExclusive),
//   2. calls AppendLogEntry() for all that it publishes,
//   3. calls SignHead() once, when all entries are there,
//   4. after its commit, calls KeepHead().
//
// Two heads that contradict each other are never signed: the repository's lock keeps replicas from that, and
// the last head is kept beside the images too, so that a database that was restored from a backup, or copied,
// does not go on from an older state. Thread-safe.
class TransparencyLog {
 public:
  // `database`, `blobs` and `signer`, an Ed25519 key, outlive it. `origin` is the log's name.
  // INVALID_ARGUMENT (LOG_MALFORMED) if a note cannot be signed with these.
  static absl::StatusOr<std::unique_ptr<TransparencyLog>> Open(db::Database& database, BlobStore& blobs,
                                                               const crypto::Signer& signer,
                                                               absl::string_view origin);

  // Signs the head of all entries and stores it. `root` is the one that is then in force. FAILED_PRECONDITION
  // (LOG_KEY_NOT_LISTED) if it does not name this log's key; FAILED_PRECONDITION (LOG_INCONSISTENT) if the
  // log does not continue the last head; the signer's errors. Throws pqxx's exceptions.
  absl::Status SignHead(db::Transaction& tx, const trust::Root& root, absl::Time now);

  // Keeps the head beside the images. What goes wrong is logged, and comes back from Inspect(): the
  // publication has been made.
  void KeepHead();

  // What the log is now, with the last head kept beside the images. Errors: FAILED_PRECONDITION
  // (LOG_INCONSISTENT), and nothing is published until somebody has set it right; those of database and
  // blobs.
  struct State {
    int64_t size = 0;
    absl::Time last_entry;  // InfinitePast if there is none
  };
  absl::StatusOr<State> Inspect();

  // A file of the log: "checkpoint", "tile/...", "tile/entries/...". INVALID_ARGUMENT (LOG_PATH_INVALID),
  // NOT_FOUND (LOG_FILE_NOT_FOUND).
  absl::StatusOr<std::string> GetFile(const std::string& path);

  // tlog-proof@v1 of the entry, with its leaf as extra data.
  absl::StatusOr<std::string> Prove(int64_t index);

  const tlog::VerifierKey& key() const { return key_; }

 private:
  TransparencyLog(db::Database& database, BlobStore& blobs, const crypto::Signer& signer,
                  tlog::VerifierKey key)
      : database_(database), blobs_(blobs), signer_(signer), key_(std::move(key)) {}

  absl::StatusOr<State> InspectAndKeep(db::Transaction& tx);

  db::Database& database_;
  BlobStore& blobs_;
  const crypto::Signer& signer_;
  const tlog::VerifierKey key_;
};

// Appends an entry and returns its number. Under the exclusive lock; before SignHead(). Throws pqxx's
// exceptions.
int64_t AppendLogEntry(db::Transaction& tx, const tlog::LogEntry& entry, absl::Time now);

// An entry about a metadata file: `kind`, and which keys have signed it.
tlog::LogEntry FileEntry(absl::string_view kind, absl::string_view role, int64_t version,
                         absl::string_view bytes, std::vector<std::string> key_ids);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_TRANSPARENCY_LOG_H_
