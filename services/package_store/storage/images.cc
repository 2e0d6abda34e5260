#include "services/package_store/storage/images.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/db/sql.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/package_store/domain/upload_rules.h"
#include "services/package_store/storage/image_health.h"

namespace countersign::package_store {
namespace {

// An empty upload costs next to nothing of the quota; its record does.
constexpr int64_t kMaxUploads = 1000;

constexpr char kRepository[] = "SELECT id::text, EXISTS (SELECT FROM images) FROM repository";
constexpr char kLockQuota[] =
    "SELECT pg_advisory_xact_lock(hashtextextended('package_store.quota.' || $1, 0))";
constexpr char kLockDigest[] =
    "SELECT pg_advisory_xact_lock(hashtextextended('package_store.image.' || $1, 0))";
constexpr char kFind[] = R"(
  SELECT length_bytes, true FROM image_owners JOIN images USING (sha256) WHERE manufacturer = $1 AND sha256 = $2
    AND damaged_at IS NULL
  UNION ALL
  SELECT length_bytes, false FROM uploads WHERE manufacturer = $1 AND sha256 = $2
  ORDER BY 2 DESC LIMIT 1)";
// An upload that repairs an image takes no more than the image did.
constexpr char kUsage[] = R"(
  SELECT coalesce((SELECT sum(length_bytes) FROM image_owners JOIN images USING (sha256) WHERE manufacturer = $1), 0)
       + coalesce((SELECT sum(length_bytes) FROM uploads WHERE manufacturer = $1 AND NOT EXISTS (
                     SELECT FROM image_owners o WHERE o.manufacturer = $1 AND o.sha256 = uploads.sha256)), 0),
       (SELECT count(*) FROM uploads WHERE manufacturer = $1),
       EXISTS (SELECT FROM image_owners WHERE manufacturer = $1 AND sha256 = $2))";
constexpr char kInsertUpload[] =
    "INSERT INTO uploads (manufacturer, sha256, length_bytes, created_at) VALUES ($1, $2, $3, $4)";
constexpr char kDeleteUpload[] = "DELETE FROM uploads WHERE manufacturer = $1 AND sha256 = $2";
constexpr char kInsertImage[] =
    "INSERT INTO images (sha256, length_bytes, stored_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
constexpr char kInsertOwner[] =
    "INSERT INTO image_owners (manufacturer, sha256, stored_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
constexpr char kVisibility[] = R"(
  SELECT EXISTS (SELECT FROM packages WHERE sha256 = $1) OR EXISTS (SELECT FROM pending_targets WHERE sha256 = $1),
         EXISTS (SELECT FROM proposal_targets WHERE sha256 = $1),
         EXISTS (SELECT FROM image_owners WHERE sha256 = $1 AND manufacturer = $2),
         coalesce((SELECT length_bytes FROM images WHERE sha256 = $1), 0),
         EXISTS (SELECT FROM images WHERE sha256 = $1 AND damaged_at IS NOT NULL))";
constexpr char kIsDamaged[] = "SELECT 1 FROM images WHERE sha256 = $1 AND damaged_at IS NOT NULL";
constexpr char kRepaired[] = R"(
  UPDATE images SET checked_at = $2, damaged_at = NULL, damage = NULL,
                    scrub_holder = NULL, scrub_until = NULL, scrub_state = NULL
  WHERE sha256 = $1)";
constexpr char kOldUploads[] =
    "SELECT manufacturer, encode(sha256, 'hex') FROM uploads WHERE created_at < $1";
constexpr char kIsRecorded[] = "SELECT 1 FROM images WHERE sha256 = $1";

pqxx::binarystring Digest(const std::string& sha256) {
  return db::Bytes(crypto::HexDecode(sha256).value_or(std::string()));
}

absl::Status LengthMismatch(int64_t stored) {
  return Error(
      absl::StatusCode::kFailedPrecondition, "LENGTH_MISMATCH",
      absl::StrCat("An image of that digest is stored with ", stored, " bytes; correct length_bytes."));
}

}  // namespace

absl::StatusOr<RepositoryIdentity> GetRepositoryIdentity(db::Database& database) {
  return database.Read("GetRepositoryIdentity", [](db::Reader& reader) -> absl::StatusOr<RepositoryIdentity> {
    const pqxx::row row = reader.exec1(kRepository);
    return RepositoryIdentity{db::TextOf(row[0]), row[1].as<bool>()};
  });
}

absl::StatusOr<Upload> Images::Load(db::Session& session, const std::string& manufacturer,
                                    const std::string& sha256) {
  const pqxx::result rows = session.exec_params(kFind, manufacturer, Digest(sha256));
  if (rows.empty()) {
    return Error(absl::StatusCode::kNotFound, "UPLOAD_NOT_FOUND",
                 absl::StrCat("Manufacturer ", manufacturer, " has no upload of ", sha256,
                              "; begin it with CreateUpload."));
  }
  Upload upload{manufacturer, sha256, rows[0][0].as<int64_t>(), 0, rows[0][1].as<bool>()};
  if (upload.complete) upload.committed_bytes = upload.length_bytes;
  return upload;
}

absl::StatusOr<Upload> Images::CreateUpload(const std::string& manufacturer, const std::string& sha256,
                                            int64_t length_bytes, absl::Time now) {
  RETURN_IF_ERROR(CheckImageLength(length_bytes));
  ASSIGN_OR_RETURN(
      Upload upload,
      database_.RunInTransaction("CreateUpload", [&](db::Transaction& tx) -> absl::StatusOr<Upload> {
        tx.exec_params(kLockQuota, manufacturer);
        absl::StatusOr<Upload> found = Load(tx, manufacturer, sha256);
        if (found.ok() && found->length_bytes == length_bytes) return found;
        if (found.ok() && found->complete) return LengthMismatch(found->length_bytes);
        // Announced with another length before: begun anew.
        if (found.ok()) tx.exec_params(kDeleteUpload, manufacturer, Digest(sha256));
        const pqxx::row usage = tx.exec_params1(kUsage, manufacturer, Digest(sha256));
        if (!usage[2].as<bool>())
          RETURN_IF_ERROR(CheckQuota(usage[0].as<int64_t>(), length_bytes, quota_bytes_));
        if (usage[1].as<int64_t>() >= kMaxUploads) {
          return Error(
              absl::StatusCode::kResourceExhausted, "TOO_MANY_UPLOADS",
              absl::StrCat("The manufacturer has ", kMaxUploads, " unfinished uploads; finish some first."));
        }
        tx.exec_params(kInsertUpload, manufacturer, Digest(sha256), length_bytes, db::Timestamp(now));
        return Upload{manufacturer, sha256, length_bytes, 0, false};
      }));
  RETURN_IF_ERROR(CompleteIfFull(upload, now));
  return upload;
}

absl::StatusOr<Upload> Images::GetUpload(const std::string& manufacturer, const std::string& sha256,
                                         absl::Time now) {
  ASSIGN_OR_RETURN(Upload upload, database_.Read("GetUpload", [&](db::Reader& reader) {
    return Load(reader, manufacturer, sha256);
  }));
  RETURN_IF_ERROR(CompleteIfFull(upload, now));
  return upload;
}

absl::Status Images::CompleteIfFull(Upload& upload, absl::Time now) {
  if (upload.complete) return absl::OkStatus();
  ASSIGN_OR_RETURN(upload.committed_bytes, blobs_.CommittedBytes(upload.manufacturer, upload.sha256));
  if (upload.committed_bytes < upload.length_bytes) return absl::OkStatus();
  const auto writer =
      blobs_.OpenUpload(upload.manufacturer, upload.sha256, upload.length_bytes, /*take_over=*/false);
  // Its writer is about to complete it.
  if (writer.status().code() == absl::StatusCode::kAborted) return absl::OkStatus();
  RETURN_IF_ERROR(writer.status());
  upload.committed_bytes = (*writer)->size();
  if (!(*writer)->full()) return absl::OkStatus();
  const absl::Status completed = Complete(upload, **writer, now);
  if (ReasonOf(completed) == "DIGEST_MISMATCH" || ReasonOf(completed) == "UPLOAD_LOST") {
    upload.committed_bytes = 0;
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(completed);
  upload.complete = true;
  return absl::OkStatus();
}

absl::Status Images::Complete(const Upload& upload, BlobStore::Writer& writer, absl::Time now) {
  RETURN_IF_ERROR(writer.Verify());
  bool is_repair = false;
  RETURN_IF_ERROR(database_.RunInTransaction("CompleteUpload", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params(kLockDigest, upload.sha256);
    const pqxx::binarystring digest = Digest(upload.sha256);
    is_repair = !tx.exec_params(kIsDamaged, digest).empty();
    RETURN_IF_ERROR(writer.Publish(is_repair));
    if (is_repair) tx.exec_params(kRepaired, digest, db::Timestamp(now));
    tx.exec_params(kInsertImage, digest, upload.length_bytes, db::Timestamp(now));
    tx.exec_params(kInsertOwner, upload.manufacturer, digest, db::Timestamp(now));
    tx.exec_params(kDeleteUpload, upload.manufacturer, digest);
    return absl::OkStatus();
  }));
  writer.Discard();
  if (is_repair) {
    log::Info("a damaged image was repaired",
              {{"sha256", upload.sha256}, {"manufacturer", upload.manufacturer}});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Images::Session>> Images::OpenUpload(const std::string& manufacturer,
                                                                    const std::string& sha256) {
  auto session = std::make_unique<Session>();
  session->images_ = this;
  ASSIGN_OR_RETURN(session->upload_, database_.Read("OpenUpload", [&](db::Reader& reader) {
    return Load(reader, manufacturer, sha256);
  }));
  if (!session->upload_.complete) {
    ASSIGN_OR_RETURN(session->writer_, blobs_.OpenUpload(manufacturer, sha256, session->upload_.length_bytes,
                                                         /*take_over=*/true));
  }
  return session;
}

absl::Status Images::Session::Append(int64_t offset, absl::string_view data, absl::Time now) {
  if (writer_ == nullptr) return CheckChunk(upload_.length_bytes, upload_.length_bytes, offset, data.size());
  RETURN_IF_ERROR(writer_->Append(offset, data));
  if (!writer_->full()) return absl::OkStatus();
  RETURN_IF_ERROR(images_->Complete(upload_, *writer_, now));
  upload_.complete = true;
  upload_.committed_bytes = upload_.length_bytes;
  writer_.reset();
  return absl::OkStatus();
}

absl::StatusOr<Upload> Images::Session::Finish() {
  if (writer_ != nullptr) {
    ASSIGN_OR_RETURN(upload_.committed_bytes, writer_->Sync());
  }
  return upload_;
}

absl::StatusOr<Images::Visibility> Images::GetVisibility(const std::string& sha256,
                                                         const std::string& manufacturer) {
  return database_.Read("GetVisibility", [&](db::Reader& reader) -> absl::StatusOr<Visibility> {
    const pqxx::result rows =
        db::ExecPrepared(reader, "package_store_visibility", kVisibility, Digest(sha256), manufacturer);
    return Visibility{rows[0][0].as<bool>(), rows[0][1].as<bool>(), rows[0][2].as<bool>(),
                      rows[0][3].as<int64_t>(), rows[0][4].as<bool>()};
  });
}

absl::StatusOr<std::unique_ptr<BlobStore::Reader>> Images::OpenImage(const std::string& sha256,
                                                                     const Visibility& visibility,
                                                                     absl::Time now) {
  if (visibility.damaged) return ImageDamaged(sha256);
  absl::StatusOr<std::unique_ptr<BlobStore::Reader>> reader =
      blobs_.OpenImage(sha256, BlobStore::Purpose::kServe);
  absl::string_view damage;
  if (absl::IsNotFound(reader.status())) {
    damage = "it is missing";
  } else if (reader.ok() && (*reader)->length() != visibility.length_bytes) {
    damage = "its length is wrong";
  } else {
    return reader;
  }
  RETURN_IF_ERROR(MarkDamaged(database_, sha256, damage, now));
  return ImageDamaged(sha256);
}

absl::StatusOr<std::string> Images::DownloadUrl(const std::string& sha256, const Visibility& visibility,
                                                absl::Time now, absl::Duration lifetime) {
  if (visibility.damaged) return ImageDamaged(sha256);
  return blobs_.DownloadUrl(sha256, now, lifetime);
}

absl::StatusOr<int> Images::DeleteAbandoned(absl::Time before) {
  // Files first: a record without a file is an upload at its beginning, a file without a record would be
  // lost.
  ASSIGN_OR_RETURN(auto abandoned, blobs_.UploadsBefore(before));
  using Names = std::vector<std::pair<std::string, std::string>>;
  ASSIGN_OR_RETURN(const Names old,
                   database_.Read("OldUploads", [&](db::Reader& reader) -> absl::StatusOr<Names> {
                     Names names;
                     for (const pqxx::row& row : reader.exec_params(kOldUploads, db::Timestamp(before))) {
                       names.emplace_back(db::TextOf(row[0]), db::TextOf(row[1]));
                     }
                     return names;
                   }));
  for (const auto& [manufacturer, sha256] : old) {
    ASSIGN_OR_RETURN(const int64_t committed, blobs_.CommittedBytes(manufacturer, sha256));
    if (committed == 0) abandoned.emplace_back(manufacturer, sha256);
  }
  int deleted = 0;
  for (const auto& [manufacturer, sha256] : abandoned) {
    const absl::Status removed = blobs_.RemoveUpload(manufacturer, sha256);
    if (removed.code() == absl::StatusCode::kAborted) continue;  // somebody has come back to it
    RETURN_IF_ERROR(removed);
    RETURN_IF_ERROR(database_.RunInTransaction(
        "DeleteUpload",
        [&, &manufacturer = manufacturer, &sha256 = sha256](db::Transaction& tx) -> absl::Status {
          tx.exec_params(kDeleteUpload, manufacturer, Digest(sha256));
          return absl::OkStatus();
        }));
    ++deleted;
  }
  RETURN_IF_ERROR(blobs_.RemoveLeftovers(before));
  RETURN_IF_ERROR(blobs_.ForEachImageBefore(before, [&](const std::string& sha256) -> absl::Status {
    return database_.RunInTransaction("RemoveOrphan", [&](db::Transaction& tx) -> absl::Status {
      if (!tx.exec_params(kIsRecorded, Digest(sha256)).empty()) return absl::OkStatus();
      tx.exec_params(kLockDigest, sha256);
      if (!tx.exec_params(kIsRecorded, Digest(sha256)).empty()) return absl::OkStatus();
      return blobs_.RemoveOrphan(sha256);
    });
  }));
  return deleted;
}

}  // namespace countersign::package_store
