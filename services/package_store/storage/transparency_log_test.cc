#include "services/package_store/storage/transparency_log.h"

#include <stdlib.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/signer.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/outbox_migrations.h"
#include "common/testing/status_matchers.h"
#include "common/tlog/memory_log.h"
#include "common/tlog/proof.h"
#include "common/tlog/reasons.h"
#include "common/tlog/tile.h"
#include "common/tlog/tile_reader.h"
#include "gtest/gtest.h"
#include "services/package_store/storage/file_blob_store.h"
#include "services/package_store/storage/images.h"
#include "services/package_store/storage/package_store_migrations.h"
#include "services/package_store/storage/repository_sql.h"

// PLUS-3
namespace countersign::package_store {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
constexpr char kOrigin[] = "store.example/image-repository";

tlog::LogEntry Entry(int64_t number) {
  return FileEntry(tlog::kRolePublished, "acme", number + 1, absl::StrCat("file ", number), {});
}

class TransparencyLogTest : public ::testing::Test {
 protected:
  TransparencyLogTest()
      : conninfo_(db::TestCluster::Shared().CreateDatabase()),
        database_(std::make_unique<db::Database>(db::Options{.conninfo = conninfo_})),
        folder_(absl::StrCat(getenv("TEST_TMPDIR"), "/log-XXXXXX")) {
    EXPECT_OK(db::Migrate(*database_,
                          {db::RequestIdsMigrations(), feed::OutboxMigrations(), PackageStoreMigrations()}));
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    repository_ = GetRepositoryIdentity(*database_)->id;
    Open();
  }

  void Open() {
    blobs_ = *FileBlobStore::Open(folder_, repository_, false);
    log_ = *TransparencyLog::Open(*database_, *blobs_, key_, kOrigin);
    root_.log_key = log_->key().Format();
  }

  // A publication of `count` entries, as storage makes it.
  absl::Status Append(int count) {
    const absl::Status status = Commit(count);
    if (status.ok()) log_->KeepHead();
    return status;
  }
  // The same by a process that dies after its commit.
  absl::Status Commit(int count) {
    return database_->RunInTransaction("Append", [&](db::Transaction& tx) -> absl::Status {
      LockRepository(tx, RepositoryLock::kExclusive);
      for (int i = 0; i < count; ++i) AppendLogEntry(tx, Entry(next_ + i), kNow);
      const absl::Status status = log_->SignHead(tx, root_, kNow);
      if (status.ok()) next_ += count;
      return status;
    });
  }

  absl::StatusOr<tlog::Checkpoint> Head() {
    const absl::StatusOr<std::string> bytes = log_->GetFile("checkpoint");
    if (!bytes.ok()) return bytes.status();
    return tlog::OpenCheckpoint(*bytes, log_->key());
  }

  // What a backup of the database's log is, and what restoring it does.
  using Backup = std::vector<std::string>;
  Backup Save() {
    // As a restore does it: without triggers.
    Backup statements = {"SET LOCAL session_replication_role = replica", "DELETE FROM log_entries",
                         "DELETE FROM log_tiles", "DELETE FROM log_head"};
    const absl::Status status = database_->Read("Save", [&](db::Reader& reader) -> absl::Status {
      for (const char* table : {"log_entries", "log_tiles", "log_head"}) {
        for (const pqxx::row& row :
             reader.exec(absl::StrCat("SELECT format('INSERT INTO ", table, " SELECT (%L::", table,
                                      ").*', t) FROM ", table, " t"))) {
          statements.push_back(db::TextOf(row[0]));
        }
      }
      return absl::OkStatus();
    });
    EXPECT_OK(status);
    return statements;
  }
  void Restore(const Backup& statements) {
    EXPECT_OK(database_->RunInTransaction("Restore", [&](db::Transaction& tx) -> absl::Status {
      for (const std::string& statement : statements) tx.exec(statement);
      return absl::OkStatus();
    }));
  }

  const std::string conninfo_;
  std::unique_ptr<db::Database> database_;
  std::string folder_;
  std::string repository_;
  const crypto::PemSigner key_ = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  std::unique_ptr<BlobStore> blobs_;
  std::unique_ptr<TransparencyLog> log_;
  trust::Root root_;
  int64_t next_ = 0;
};

TEST_F(TransparencyLogTest, ServesWhatALogOfItsEntriesIsToTheByte) {
  tlog::MemoryLog expected;
  EXPECT_THAT(log_->GetFile("checkpoint"), StatusIs(absl::StatusCode::kNotFound, "LOG_FILE_NOT_FOUND"));
  // Beyond two full tiles; heads of many sizes.
  for (const int count : {1, 1, 3, 50, 200, 1, 255, 7}) {
    const int64_t before = next_;
    ASSERT_OK(Append(count));
    for (int64_t i = before; i < next_; ++i) expected.Append(Entry(i).ToLeaf());
    EXPECT_THAT(Head(), IsOkAndHolds(expected.Head(next_, kOrigin)));
  }
  for (int64_t size = 1; size <= next_; ++size) {
    for (const tlog::Tile& tile : tlog::EdgeTiles(size)) {
      const std::string path = tlog::TilePath(tile);
      ASSERT_EQ(log_->GetFile(path).value(), expected.File(path).value()) << path;
    }
  }
  for (const char* path : {"tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001",
                           "tile/entries/002.p/6", "tile/entries/000.p/1", "tile/1/000.p/2"}) {
    EXPECT_EQ(log_->GetFile(path).value(), expected.File(path).value()) << path;
  }
  for (const char* path : {"tile/0/002", "tile/0/002.p/7", "tile/1/000.p/3", "tile/2/000.p/1",
                           "tile/entries/002", "tile/entries/002.p/7", "tile/0/003.p/1"}) {
    EXPECT_THAT(log_->GetFile(path), StatusIs(absl::StatusCode::kNotFound, "LOG_FILE_NOT_FOUND")) << path;
  }
  for (const char* path : {"", "tile/0/0", "checkpoint/", "../checkpoint", "tile/0/000.p/256"}) {
    EXPECT_THAT(log_->GetFile(path), StatusIs(absl::StatusCode::kInvalidArgument, "LOG_PATH_INVALID"))
        << path;
  }
  ASSERT_OK_AND_ASSIGN(const TransparencyLog::State state, log_->Inspect());
  EXPECT_EQ(state.size, next_);
  EXPECT_EQ(state.last_entry, kNow);
}

TEST_F(TransparencyLogTest, ProvesEachEntryOffline) {
  ASSERT_OK(Append(300));
  for (const int64_t index : {0, 1, 255, 256, 299}) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes, log_->Prove(index));
    ASSERT_OK_AND_ASSIGN(const tlog::OfflineProof proof, tlog::OfflineProof::Parse(bytes));
    EXPECT_EQ(proof.extra, Entry(index).ToLeaf());
    EXPECT_OK(proof.Verify(proof.extra, log_->key()));
  }
}

TEST_F(TransparencyLogTest, APublicationThatFailsLeavesNothing) {
  ASSERT_OK(Append(3));
  ASSERT_OK_AND_ASSIGN(const tlog::Checkpoint before, Head());
  const absl::Status failed = database_->RunInTransaction("Append", [&](db::Transaction& tx) -> absl::Status {
    LockRepository(tx, RepositoryLock::kExclusive);
    AppendLogEntry(tx, Entry(3), kNow);
    EXPECT_OK(log_->SignHead(tx, root_, kNow));
    return absl::CancelledError("something else is wrong");
  });
  EXPECT_THAT(failed, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(Head(), IsOkAndHolds(before));
  EXPECT_OK(log_->Inspect());
  EXPECT_OK(Append(1));
}

TEST_F(TransparencyLogTest, SignsOnlyForTheRootThatNamesItsKey) {
  root_.log_key = "";
  EXPECT_THAT(Append(1), StatusIs(absl::StatusCode::kFailedPrecondition, "LOG_KEY_NOT_LISTED"));
  const crypto::PemSigner other = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  root_.log_key = tlog::VerifierKey::Make(kOrigin, other.public_key())->Format();
  EXPECT_THAT(Append(1), StatusIs(absl::StatusCode::kFailedPrecondition, "LOG_KEY_NOT_LISTED"));
  root_.log_key = log_->key().Format();
  EXPECT_OK(Append(1));
  // Another key goes on where the first was, once the root names it.
  log_ = *TransparencyLog::Open(*database_, *blobs_, other, kOrigin);
  EXPECT_THAT(Append(1), StatusIs(absl::StatusCode::kFailedPrecondition, "LOG_KEY_NOT_LISTED"));
  root_.log_key = log_->key().Format();
  EXPECT_OK(Append(1));
  ASSERT_OK_AND_ASSIGN(const tlog::Checkpoint head, Head());
  EXPECT_EQ(head.size, 2);
}

TEST_F(TransparencyLogTest, OnlyAnEd25519KeySigns) {
  const crypto::PemSigner ecdsa = *crypto::PemSigner::Generate(crypto::KeyType::kEcdsaP256);
  EXPECT_THAT(TransparencyLog::Open(*database_, *blobs_, ecdsa, kOrigin),
              StatusIs(absl::StatusCode::kInvalidArgument, tlog::kMalformed));
  EXPECT_THAT(TransparencyLog::Open(*database_, *blobs_, key_, "a b"),
              StatusIs(absl::StatusCode::kInvalidArgument, tlog::kMalformed));
}

// "Never sign two inconsistent heads."
TEST_F(TransparencyLogTest, ADatabaseThatWasRestoredFromABackupIsNotGoneOnWith) {
  ASSERT_OK(Append(2));
  const Backup backup = Save();
  ASSERT_OK(Append(2));
  ASSERT_OK_AND_ASSIGN(const tlog::Checkpoint seen, Head());
  const Backup newest = Save();

  Restore(backup);
  Open();  // a restart does not help
  EXPECT_THAT(log_->Inspect(), StatusIs(absl::StatusCode::kFailedPrecondition, tlog::kInconsistent));
  // Shorter than what was signed, as long, and longer.
  for (const int count : {1, 2, 3}) {
    next_ = 100;
    EXPECT_THAT(Append(count), StatusIs(absl::StatusCode::kFailedPrecondition, tlog::kInconsistent)) << count;
  }
  // The newest state is the way out.
  Restore(newest);
  EXPECT_OK(log_->Inspect());
  ASSERT_OK(Append(1));
  ASSERT_OK_AND_ASSIGN(tlog::TileReader reader,
                       tlog::TileReader::Open([this](const std::string& path) { return log_->GetFile(path); },
                                              Head().value()));
  EXPECT_OK(reader.CheckExtends(seen));
}

TEST_F(TransparencyLogTest, ACopyOfTheDatabaseDoesNotGoOnBesideTheOriginal) {
  ASSERT_OK(Append(2));
  const Backup copy = Save();
  // The original goes on; then the copy tries to, in the same folder.
  ASSERT_OK(Append(1));
  const Backup original = Save();
  Restore(copy);
  next_ = 50;
  EXPECT_THAT(Append(1), StatusIs(absl::StatusCode::kFailedPrecondition, tlog::kInconsistent));
  Restore(original);
  next_ = 3;
  EXPECT_OK(Append(1));
}

TEST_F(TransparencyLogTest, ACrashBeforeTheHeadIsKeptIsMadeGood) {
  ASSERT_OK(log_->Inspect());  // as at the start
  ASSERT_OK(Commit(2));
  Open();
  ASSERT_OK(log_->Inspect());
  const Backup backup = Save();
  ASSERT_OK(Commit(1));
  ASSERT_OK(Commit(1));  // keeps the head before before it goes on
  Restore(backup);
  EXPECT_THAT(log_->Inspect(), StatusIs(absl::StatusCode::kFailedPrecondition, tlog::kInconsistent));
}

TEST_F(TransparencyLogTest, ALogWhoseKeptHeadIsLostIsNotGoneOnWith) {
  ASSERT_OK(Append(2));
  ASSERT_EQ(unlink(absl::StrCat(folder_, "/records/log-head").c_str()), 0);
  EXPECT_THAT(Append(1), StatusIs(absl::StatusCode::kFailedPrecondition, tlog::kInconsistent));
  // Whoever has verified the log writes its head back.
  ASSERT_OK(blobs_->WriteRecord("log-head", Head()->Text()));
  EXPECT_OK(Append(1));
}

TEST_F(TransparencyLogTest, AnEntryThatWasChangedInTheDatabaseIsNoticed) {
  ASSERT_OK(Append(5));
  ASSERT_OK(database_->RunInTransaction("Tamper", [](db::Transaction& tx) -> absl::Status {
    tx.exec("UPDATE log_tiles SET hashes = set_byte(hashes, 70, get_byte(hashes, 70) # 1)");
    return absl::OkStatus();
  }));
  EXPECT_THAT(log_->Inspect(), StatusIs(absl::StatusCode::kFailedPrecondition, tlog::kInconsistent));
  EXPECT_THAT(Append(1), StatusIs(absl::StatusCode::kFailedPrecondition, tlog::kInconsistent));
}

}  // namespace
}  // namespace countersign::package_store
