#include "services/package_store/storage/transparency_log.h"

#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/db/sql.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/tlog/merkle.h"
#include "common/tlog/proof.h"
#include "common/tlog/reasons.h"
#include "common/tlog/tile.h"
#include "services/package_store/storage/repository_sql.h"

namespace countersign::package_store {
namespace {

// The name of the head that is kept beside the images.
constexpr char kHeadRecord[] = "log-head";

constexpr char kSize[] = "SELECT coalesce(max(leaf_index) + 1, 0) FROM log_entries";
constexpr char kLastEntry[] = "SELECT appended_at FROM log_entries ORDER BY leaf_index DESC LIMIT 1";
constexpr char kInsertEntry[] = "INSERT INTO log_entries (leaf_index, leaf, appended_at) VALUES ($1, $2, $3)";
// Answers with the tile's hashes once it is full.
constexpr char kAppendHash[] = R"(
  INSERT INTO log_tiles (level, tile_index, hashes) VALUES ($1, $2, $3)
  ON CONFLICT (level, tile_index) DO UPDATE SET hashes = log_tiles.hashes || excluded.hashes
  RETURNING CASE WHEN octet_length(hashes) = 8192 THEN hashes END)";
constexpr char kGetTile[] = "SELECT hashes FROM log_tiles WHERE level = $1 AND tile_index = $2";
constexpr char kGetEntries[] =
    "SELECT leaf FROM log_entries WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index";
constexpr char kGetHead[] = "SELECT size, root, checkpoint FROM log_head";
constexpr char kStoreHead[] = R"(
  INSERT INTO log_head (size, root, checkpoint, signed_at) VALUES ($1, $2, $3, $4)
  ON CONFLICT (only_row) DO UPDATE SET size = excluded.size, root = excluded.root,
    checkpoint = excluded.checkpoint, signed_at = excluded.signed_at)";

int64_t SizeOf(db::Session& session) { return session.exec(kSize)[0][0].as<int64_t>(); }

struct StoredHead {
  int64_t size;
  tlog::Hash root;
  std::string checkpoint;
};

std::optional<StoredHead> LoadHead(db::Session& session) {
  const pqxx::result rows = db::ExecPrepared(session, "package_store_log_head", kGetHead);
  if (rows.empty()) return std::nullopt;
  return StoredHead{rows[0][0].as<int64_t>(), db::BytesOf(rows[0][1]), db::BytesOf(rows[0][2])};
}

absl::StatusOr<std::string> LoadTile(db::Session& session, int level, int64_t index) {
  const pqxx::result rows = db::ExecPrepared(session, "package_store_log_tile", kGetTile, level, index);
  if (rows.empty()) return absl::InternalError(absl::StrCat("the log lacks tile ", level, "/", index));
  return db::BytesOf(rows[0][0]);
}

// Reads each tile once.
class StoredNodes {
 public:
  explicit StoredNodes(db::Session& session) : session_(session) {}

  tlog::ReadNode Reader() {
    return [this](const tlog::Node& node) -> absl::StatusOr<tlog::Hash> {
      const tlog::Tile tile = tlog::TileOf(node);
      const auto [found, added] = tiles_.try_emplace({tile.level, tile.index});
      if (added) {
        ASSIGN_OR_RETURN(found->second, LoadTile(session_, tile.level, tile.index));
      }
      return tlog::NodeInTile(node, found->second);
    };
  }

 private:
  db::Session& session_;
  std::map<std::pair<int, int64_t>, std::string> tiles_;
};

absl::Status Inconsistent(absl::string_view what) {
  return Error(
      absl::StatusCode::kFailedPrecondition, tlog::kInconsistent,
      absl::StrCat("The transparency log in the database ", what,
                   " Was the database restored from a backup, or copied, or is it another's folder of "
                   "images? Nothing is published, so that no two heads contradict each other."));
}

// OK if the first `size` entries of the database have that root.
absl::Status CheckContinues(db::Session& session, int64_t database_size, int64_t size, const tlog::Hash& root,
                            absl::string_view whose) {
  if (database_size < size) {
    return Inconsistent(absl::StrCat("has ", database_size, " entries, and ", whose, " has ", size, "."));
  }
  StoredNodes nodes(session);
  ASSIGN_OR_RETURN(const tlog::Hash computed, tlog::TreeRoot(size, nodes.Reader()));
  if (computed == root) return absl::OkStatus();
  return Inconsistent(absl::StrCat("does not begin with the ", size, " entries of ", whose, "."));
}

absl::StatusOr<tlog::Checkpoint> ParseRecord(absl::string_view record, absl::string_view origin) {
  ASSIGN_OR_RETURN(tlog::Checkpoint head, tlog::Checkpoint::Parse(record));
  if (head.origin != origin) {
    return Inconsistent(
        absl::StrCat("is called ", origin, ", and the last head is that of ", head.origin, "."));
  }
  return head;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TransparencyLog>> TransparencyLog::Open(db::Database& database,
                                                                       BlobStore& blobs,
                                                                       const crypto::Signer& signer,
                                                                       absl::string_view origin) {
  ASSIGN_OR_RETURN(tlog::VerifierKey key, tlog::VerifierKey::Make(origin, signer.public_key()));
  return std::unique_ptr<TransparencyLog>(new TransparencyLog(database, blobs, signer, std::move(key)));
}

int64_t AppendLogEntry(db::Transaction& tx, const tlog::LogEntry& entry, absl::Time now) {
  const std::string leaf = entry.ToLeaf();
  const int64_t index = SizeOf(tx);
  tx.exec_params(kInsertEntry, index, db::Bytes(leaf), db::Timestamp(now));
  tlog::Hash hash = tlog::LeafHash(leaf);
  int64_t position = index;
  for (int level = 0;; ++level) {
    position /= tlog::kTileWidth;
    const std::optional<std::string> full =
        db::NullableBytesOf(tx.exec_params1(kAppendHash, level, position, db::Bytes(hash))[0]);
    if (!full) return index;
    hash = tlog::SubtreeHash(*full);
  }
}

tlog::LogEntry FileEntry(absl::string_view kind, absl::string_view role, int64_t version,
                         absl::string_view bytes, std::vector<std::string> key_ids) {
  tlog::LogEntry entry;
  entry.kind = std::string(kind);
  entry.role = std::string(role);
  entry.role_version = version;
  entry.metadata_sha256 = crypto::Sha256Hex(bytes);
  entry.key_ids = std::move(key_ids);
  return entry;
}

// Looks at the log as it is with the new entries. A state that is older than the last head cannot catch up
// with it: the entries would have to be the same, and then the heads are.
absl::Status TransparencyLog::SignHead(db::Transaction& tx, const trust::Root& root, absl::Time now) {
  if (root.log_key != key_.Format()) {
    return Error(absl::StatusCode::kFailedPrecondition, "LOG_KEY_NOT_LISTED",
                 absl::StrCat("The root does not name this service's key of the transparency log as its "
                              "custom.logKey: it is ",
                              key_.Format(), "."));
  }
  RETURN_IF_ERROR(InspectAndKeep(tx).status());
  StoredNodes nodes(tx);
  tlog::Checkpoint head{key_.name(), SizeOf(tx), ""};
  ASSIGN_OR_RETURN(head.root, tlog::TreeRoot(head.size, nodes.Reader()));
  ASSIGN_OR_RETURN(const std::string checkpoint, tlog::SignCheckpoint(head, signer_));
  tx.exec_params(kStoreHead, head.size, db::Bytes(head.root), db::Bytes(checkpoint), db::Timestamp(now));
  return absl::OkStatus();
}

// Under the repository's lock, so that the head that is kept never goes back: a head that is in the database
// is committed, and no other replica signs one meanwhile.
absl::StatusOr<TransparencyLog::State> TransparencyLog::InspectAndKeep(db::Transaction& tx) {
  State state;
  state.size = SizeOf(tx);
  const pqxx::result last = tx.exec(kLastEntry);
  state.last_entry = last.empty() ? absl::InfinitePast() : db::TimeOf(last[0][0]);

  const std::optional<StoredHead> signed_head = LoadHead(tx);
  tlog::Checkpoint head{key_.name(), 0, tlog::EmptyRoot()};
  if (signed_head) head = {key_.name(), signed_head->size, signed_head->root};
  RETURN_IF_ERROR(CheckContinues(tx, state.size, head.size, head.root, "its own last head"));

  const absl::StatusOr<std::string> record = blobs_.ReadRecord(kHeadRecord);
  if (absl::IsNotFound(record.status())) {
    // Written before the first entry is.
    if (head.size > 0) {
      return Inconsistent(
          absl::StrCat("has ", head.size, " entries, and no head is kept beside the images."));
    }
  } else {
    RETURN_IF_ERROR(record.status());
    ASSIGN_OR_RETURN(const tlog::Checkpoint kept, ParseRecord(*record, key_.name()));
    RETURN_IF_ERROR(CheckContinues(tx, state.size, kept.size, kept.root, "the last head that was signed"));
    if (kept.size >= head.size) return state;
  }
  RETURN_IF_ERROR(blobs_.WriteRecord(kHeadRecord, head.Text()));
  return state;
}

absl::StatusOr<TransparencyLog::State> TransparencyLog::Inspect() {
  return database_.RunInTransaction("InspectLog", [&](db::Transaction& tx) -> absl::StatusOr<State> {
    LockRepository(tx, RepositoryLock::kExclusive);
    return InspectAndKeep(tx);
  });
}

void TransparencyLog::KeepHead() {
  if (const absl::StatusOr<State> state = Inspect(); !state.ok()) {
    log::Error("the log's head could not be kept beside the images", {{"error", state.status().ToString()}});
  }
}

absl::StatusOr<std::string> TransparencyLog::GetFile(const std::string& path) {
  const auto not_found = [&path] {
    return Error(absl::StatusCode::kNotFound, "LOG_FILE_NOT_FOUND",
                 absl::StrCat("The transparency log has no ", path, "."));
  };
  absl::StatusOr<tlog::Tile> tile = tlog::Tile{};
  if (path != tlog::kCheckpointPath) {
    tile = tlog::ParseTilePath(path);
    if (!tile.ok()) {
      return Error(absl::StatusCode::kInvalidArgument, "LOG_PATH_INVALID",
                   "A file of the transparency log is \"checkpoint\", \"tile/<level>/<index>\" or "
                   "\"tile/entries/<index>\", with \".p/<width>\" where it is partial.");
    }
  }
  return database_.Read("GetLogFile", [&](db::Reader& reader) -> absl::StatusOr<std::string> {
    const std::optional<StoredHead> head = LoadHead(reader);
    if (!head) return not_found();
    if (path == tlog::kCheckpointPath) return head->checkpoint;
    if (tlog::WidthInTree(tile->level, tile->index, head->size) < tile->width) return not_found();
    if (tile->level != tlog::Tile::kEntries) {
      ASSIGN_OR_RETURN(std::string hashes, LoadTile(reader, tile->level, tile->index));
      hashes.resize(tile->width * tlog::kHashSize);
      return hashes;
    }
    const int64_t first = tile->index * tlog::kTileWidth;
    std::string bundle;
    for (const pqxx::row& row :
         db::ExecPrepared(reader, "package_store_log_entries", kGetEntries, first, first + tile->width)) {
      tlog::AppendToBundle(db::BytesOf(row[0]), bundle);
    }
    return bundle;
  });
}

// The head is read first: a log only grows, so that whatever is read later has all that the head has.
absl::StatusOr<std::string> TransparencyLog::Prove(int64_t index) {
  return database_.Read("ProveLogEntry", [&](db::Reader& reader) -> absl::StatusOr<std::string> {
    const std::optional<StoredHead> head = LoadHead(reader);
    const pqxx::result rows =
        db::ExecPrepared(reader, "package_store_log_entries", kGetEntries, index, index + 1);
    if (!head || rows.empty()) return absl::InternalError(absl::StrCat("the log has no entry ", index));
    StoredNodes nodes(reader);
    tlog::OfflineProof proof;
    proof.extra = db::BytesOf(rows[0][0]);
    proof.index = index;
    ASSIGN_OR_RETURN(proof.hashes, tlog::InclusionProof(index, head->size, nodes.Reader()));
    proof.checkpoint = head->checkpoint;
    return proof.Format();
  });
}

}  // namespace countersign::package_store
