#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/signer.h"
#include "common/db/database.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/outbox_migrations.h"
#include "common/status/macros.h"
#include "common/testing/status_matchers.h"
#include "common/trust/keys.h"
#include "common/trust/metadata.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/package_store/storage/file_blob_store.h"
#include "services/package_store/storage/images.h"
#include "services/package_store/storage/package_rows.h"
#include "services/package_store/storage/package_store_migrations.h"
#include "services/package_store/storage/packages.h"
#include "services/package_store/storage/publications.h"
#include "services/package_store/storage/transparency_log.h"

namespace countersign::package_store {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

std::string NewFolder() {
  std::string folder = absl::StrCat(getenv("TEST_TMPDIR"), "/images-XXXXXX");
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  return folder;
}

std::string Encode(const Package& package) { return package.target.target_path; }

class StorageTest : public ::testing::Test {
 protected:
  StorageTest() : database_({.conninfo = db::TestCluster::Shared().CreateDatabase()}) {
    EXPECT_OK(db::Migrate(database_,
                          {db::RequestIdsMigrations(), feed::OutboxMigrations(), PackageStoreMigrations()}));
  }
  db::Database database_;
};

class PublicationsTest : public StorageTest {
 protected:
  PublicationsTest()
      : blobs_(*FileBlobStore::Open(NewFolder(), GetRepositoryIdentity(database_)->id, false)),
        log_(*TransparencyLog::Open(database_, *blobs_, key_, "store.example")),
        publications_(database_, {{&key_, &key_}, {}}, *log_, &Encode) {
    EXPECT_OK(publications_.PublishRoot(Sign(Root(1, key_).ToEnvelope()), kNow));
    trust::Targets targets;
    targets.expires = kNow + absl::Hours(24 * 180);
    EXPECT_OK(publications_.PublishTargets(Sign(targets.ToEnvelope()), "operator/op", kNow));
  }
  // A root with `online` for both online roles.
  trust::Root Root(int64_t version, const crypto::Signer& online) {
    trust::Root root;
    root.version = version;
    root.log_key = log_->key().Format();
    root.expires = kNow + absl::Hours(24 * 365);
    for (const char* role : {"root", "targets"}) {
      root.AddKey(role, operator_.public_key());
      root.AddKey(role, authority_.public_key());
    }
    root.parties = {{trust::kOperatorParty, {trust::KeyId(operator_.public_key())}},
                    {trust::kAuthorityParty, {trust::KeyId(authority_.public_key())}}};
    for (const char* role : {"snapshot", "timestamp"}) root.AddKey(role, online.public_key());
    return root;
  }
  std::string Sign(trust::Envelope envelope) {
    EXPECT_OK(envelope.Sign(operator_));
    EXPECT_OK(envelope.Sign(authority_));
    return envelope.Serialise();
  }
  trust::Timestamp GetTimestamp() {
    return *trust::Timestamp::Parse(*trust::Envelope::Parse(*publications_.GetFile("timestamp.json")));
  }

  crypto::PemSigner operator_ = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  crypto::PemSigner authority_ = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  crypto::PemSigner key_ = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  const std::unique_ptr<BlobStore> blobs_;
  const std::unique_ptr<TransparencyLog> log_;
  Publications publications_;
};

TEST_F(PublicationsTest, OnlineRolesAreSignedAgainAheadOfTheirExpiry) {
  using Renewal = Publications::Renewal;
  EXPECT_THAT(publications_.RenewIfDue(kNow + absl::Hours(11)), IsOkAndHolds(Renewal::kNotDue));
  EXPECT_EQ(GetTimestamp().version, 1);
  const absl::Time later = kNow + absl::Hours(13);
  EXPECT_THAT(publications_.RenewIfDue(later), IsOkAndHolds(Renewal::kTimestamp));
  EXPECT_EQ(GetTimestamp().version, 2);
  EXPECT_EQ(GetTimestamp().snapshot.version, 1);
  EXPECT_EQ(GetTimestamp().expires, later + absl::Hours(24));
  EXPECT_THAT(publications_.RenewIfDue(later), IsOkAndHolds(Renewal::kNotDue));
  EXPECT_THAT(publications_.RenewIfDue(kNow + absl::Hours(24 * 4)),
              IsOkAndHolds(Renewal::kSnapshotAndTimestamp));
  EXPECT_EQ(GetTimestamp().version, 3);
  EXPECT_EQ(GetTimestamp().snapshot.version, 2);
  ASSERT_OK_AND_ASSIGN(const auto expiries, publications_.Expiries());
  EXPECT_EQ(expiries.at("timestamp"), kNow + absl::Hours(24 * 5));
  EXPECT_EQ(expiries.at("snapshot"), kNow + absl::Hours(24 * 11));
  EXPECT_EQ(expiries.count("delegated"), 0u);
}

TEST_F(PublicationsTest, OfManyReplicasOneSignsAgain) {
  std::vector<std::thread> replicas;
  std::vector<Publications::Renewal> done(8);
  for (Publications::Renewal& renewal : done) {
    replicas.emplace_back([&] { renewal = *publications_.RenewIfDue(kNow + absl::Hours(24 * 4)); });
  }
  for (std::thread& replica : replicas) replica.join();
  EXPECT_EQ(std::count(done.begin(), done.end(), Publications::Renewal::kSnapshotAndTimestamp), 1);
  EXPECT_EQ(GetTimestamp().version, 2);
  EXPECT_EQ(GetTimestamp().snapshot.version, 2);
}

TEST_F(PublicationsTest, SnapshotsThatNoValidTimestampNamesAreDeleted) {
  const absl::Time renewed = kNow + absl::Hours(24 * 4);
  ASSERT_OK(publications_.RenewIfDue(renewed));
  EXPECT_THAT(publications_.DeleteOldSnapshots(renewed + absl::Hours(23)), IsOkAndHolds(0));
  EXPECT_OK(publications_.GetFile("1.snapshot.json"));
  EXPECT_THAT(publications_.DeleteOldSnapshots(renewed + absl::Hours(25)), IsOkAndHolds(1));
  EXPECT_THAT(publications_.GetFile("1.snapshot.json"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(publications_.GetFile("2.snapshot.json"));
}

// PLUS-5
TEST_F(PublicationsTest, TheHistoryOfPackagesIsOnlyEverAddedTo) {
  const PackageEvent event{.time = kNow, .manufacturer = "acme", .target_path = "acme/lamp/l.bin"};
  ASSERT_OK(database_.RunInTransaction("Record", [&](db::Transaction& tx) -> absl::Status {
    RecordEvents(tx, {event});
    return absl::OkStatus();
  }));
  for (const char* sql : {"UPDATE package_events SET identity = 'authority/nobody'",
                          "DELETE FROM package_events", "TRUNCATE package_events"}) {
    EXPECT_FALSE(database_
                     .RunInTransaction("Change",
                                       [&](db::Transaction& tx) -> absl::Status {
                                         tx.exec(sql);
                                         return absl::OkStatus();
                                       })
                     .ok())
        << sql;
  }
  std::vector<int64_t> numbers;
  ASSERT_OK_AND_ASSIGN(const std::vector<PackageEvent> events,
                       Packages(database_, *log_, &Encode).History(std::nullopt, "", 0, 10, &numbers));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].target_path, "acme/lamp/l.bin");
}

// Rotation of an online key through the root, as after a theft.
TEST_F(PublicationsTest, ARootThatDropsAnOnlineKeyBringsWhatTheNewOneSigns) {
  const crypto::PemSigner fresh = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  const std::string bytes = Sign(Root(2, fresh).ToEnvelope());
  EXPECT_THAT(publications_.PublishRoot(bytes, kNow),
              StatusIs(absl::StatusCode::kFailedPrecondition, "ONLINE_KEY_NOT_LISTED"));
  Publications renewed(database_, {{&fresh, &fresh}, {}}, *log_, &Encode);
  ASSERT_OK(renewed.PublishRoot(bytes, kNow));
  ASSERT_OK_AND_ASSIGN(const std::string timestamp, renewed.GetFile("timestamp.json"));
  EXPECT_OK(trust::Envelope::Parse(timestamp)->VerifyBy(fresh.public_key()));
  EXPECT_EQ(GetTimestamp().snapshot.version, 2);
}

// Both online keys were stolen, and the versions driven up to the last: clients forget them with the keys
// (TUF 5.3.11), and so does the repository.
TEST_F(PublicationsTest, ARootWithOtherOnlineKeysUndoesAFastForward) {
  ASSERT_OK(database_.RunInTransaction("Drive up", [&](db::Transaction& tx) {
    tx.exec("UPDATE roles SET version = 2147483647 WHERE role IN ('snapshot', 'timestamp')");
    tx.exec("UPDATE metadata_files SET version = 2147483647 WHERE role IN ('snapshot', 'timestamp')");
    return absl::OkStatus();
  }));
  EXPECT_FALSE(publications_.RenewIfDue(kNow + absl::Hours(24 * 4)).ok());
  const crypto::PemSigner fresh = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  Publications renewed(database_, {{&fresh, &fresh}, {}}, *log_, &Encode);
  ASSERT_OK(renewed.PublishRoot(Sign(Root(2, fresh).ToEnvelope()), kNow));
  EXPECT_EQ(GetTimestamp().version, 1);
  EXPECT_EQ(GetTimestamp().snapshot.version, 1);
  ASSERT_OK(renewed.RenewIfDue(kNow + absl::Hours(24 * 4)));
  EXPECT_EQ(GetTimestamp().version, 2);
}

// A replica dies with a signature made and not committed.
TEST_F(PublicationsTest, AReplicaThatDiesWhileItSignsLeavesItToTheNext) {
  const absl::Time later = kNow + absl::Hours(13);
  std::promise<int> pid;
  std::thread dying([&] {
    const absl::Status status = database_.RunInTransaction("Die", [&](db::Transaction& tx) -> absl::Status {
      LockRepository(tx, RepositoryLock::kExclusive);
      ASSIGN_OR_RETURN(const trust::Root root, LoadRoot(tx));
      RETURN_IF_ERROR(StoreTimestamp(tx, root, {{&key_, &key_}, {}}, later));
      pid.set_value(tx.exec1("SELECT pg_backend_pid()")[0].as<int>());
      tx.exec("SELECT pg_sleep(3600)");
      return absl::OkStatus();
    });
    EXPECT_FALSE(status.ok());
  });
  const int victim = pid.get_future().get();
  std::thread next(
      [&] { EXPECT_THAT(publications_.RenewIfDue(later), IsOkAndHolds(Publications::Renewal::kTimestamp)); });
  ASSERT_OK(database_.RunInTransaction("Kill", [&](db::Transaction& tx) {
    tx.exec_params("SELECT pg_terminate_backend($1)", victim);
    return absl::OkStatus();
  }));
  dying.join();
  next.join();
  EXPECT_EQ(GetTimestamp().version, 2);
  EXPECT_EQ(GetTimestamp().expires, later + absl::Hours(24));
}

class ImagesTest : public StorageTest {
 protected:
  ImagesTest() {
    folder_ = NewFolder();
    Restart();
  }
  void Restart() {
    images_.reset();
    const RepositoryIdentity repository = *GetRepositoryIdentity(database_);
    blobs_ = *FileBlobStore::Open(folder_, repository.id, repository.has_images);
    images_ = std::make_unique<Images>(database_, *blobs_, 1 << 20);
  }
  std::string ImageFile() const {
    return absl::StrCat(folder_, "/images/", sha256_.substr(0, 2), "/", sha256_);
  }
  std::string UploadFile() const { return absl::StrCat(folder_, "/uploads/acme.", sha256_); }

  const std::string content_ = "firmware";
  const std::string sha256_ = crypto::Sha256Hex(content_);
  std::string folder_;
  std::unique_ptr<BlobStore> blobs_;
  std::unique_ptr<Images> images_;
};

TEST_F(ImagesTest, WhatACrashLeavesAfterTheLastByteIsFinishedWhenSomebodyAsks) {
  ASSERT_OK(images_->CreateUpload("acme", sha256_, content_.size(), kNow));
  {  // All bytes are written, and the process dies before they are verified ...
    ASSERT_OK_AND_ASSIGN(auto writer, blobs_->OpenUpload("acme", sha256_, content_.size(), true));
    ASSERT_OK(writer->Append(0, content_));
  }
  Restart();
  ASSERT_OK_AND_ASSIGN(const Upload upload, images_->GetUpload("acme", sha256_, kNow));
  EXPECT_TRUE(upload.complete);
  EXPECT_FALSE(std::filesystem::exists(UploadFile()));
  ASSERT_OK(images_->CreateUpload("zeta", sha256_, content_.size(), kNow));
  {  // ... or after they became an image, before that is recorded.
    ASSERT_OK_AND_ASSIGN(auto writer, blobs_->OpenUpload("zeta", sha256_, content_.size(), true));
    ASSERT_OK(writer->Append(0, content_));
    ASSERT_OK(writer->Verify());
    ASSERT_OK(writer->Publish(/*replace=*/false));
  }
  Restart();
  ASSERT_OK_AND_ASSIGN(const Upload found, images_->CreateUpload("zeta", sha256_, content_.size(), kNow));
  EXPECT_TRUE(found.complete);
}

TEST_F(ImagesTest, ARecordThatFailsLeavesTheUploadToBeFinished) {
  const auto execute = [&](const char* sql) {
    ASSERT_OK(database_.RunInTransaction("Change", [&](db::Transaction& tx) {
      tx.exec(sql);
      return absl::OkStatus();
    }));
  };
  ASSERT_OK(images_->CreateUpload("acme", sha256_, content_.size(), kNow));
  execute("ALTER TABLE image_owners ADD CONSTRAINT broken CHECK (manufacturer <> 'acme')");
  {
    ASSERT_OK_AND_ASSIGN(auto session, images_->OpenUpload("acme", sha256_));
    EXPECT_FALSE(session->Append(0, content_, kNow).ok());
  }
  execute("ALTER TABLE image_owners DROP CONSTRAINT broken");
  ASSERT_OK_AND_ASSIGN(const Upload upload, images_->GetUpload("acme", sha256_, kNow));
  EXPECT_TRUE(upload.complete);
}

TEST_F(ImagesTest, AbandonedUploadsAndUnrecordedImagesAreForgotten) {
  ASSERT_OK(images_->CreateUpload("acme", sha256_, content_.size(), kNow));
  {
    ASSERT_OK_AND_ASSIGN(auto session, images_->OpenUpload("acme", sha256_));
    ASSERT_OK(session->Append(0, content_.substr(0, 3), kNow));
    // Not while somebody writes it.
    EXPECT_THAT(images_->DeleteAbandoned(absl::InfiniteFuture()), IsOkAndHolds(0));
    ASSERT_OK(session->Append(3, content_.substr(3, 1), kNow));
  }
  EXPECT_THAT(images_->DeleteAbandoned(absl::InfinitePast()), IsOkAndHolds(0));
  EXPECT_OK(images_->GetUpload("acme", sha256_, kNow));
  EXPECT_THAT(images_->DeleteAbandoned(absl::InfiniteFuture()), IsOkAndHolds(1));
  EXPECT_THAT(images_->GetUpload("acme", sha256_, kNow),
              StatusIs(absl::StatusCode::kNotFound, "UPLOAD_NOT_FOUND"));
  EXPECT_FALSE(std::filesystem::exists(UploadFile()));

  // An image that was linked and never recorded goes, one that is recorded stays.
  {
    ASSERT_OK_AND_ASSIGN(auto writer, blobs_->OpenUpload("acme", sha256_, content_.size(), true));
    ASSERT_OK(writer->Append(0, content_));
    ASSERT_OK(writer->Verify());
    ASSERT_OK(writer->Publish(/*replace=*/false));
    writer->Discard();
  }
  EXPECT_TRUE(std::filesystem::exists(ImageFile()));
  ASSERT_OK(images_->DeleteAbandoned(absl::InfiniteFuture()));
  EXPECT_FALSE(std::filesystem::exists(ImageFile()));
  ASSERT_OK(images_->CreateUpload("acme", sha256_, content_.size(), kNow));
  {
    ASSERT_OK_AND_ASSIGN(auto session, images_->OpenUpload("acme", sha256_));
    ASSERT_OK(session->Append(0, content_, kNow));
  }
  ASSERT_OK(images_->DeleteAbandoned(absl::InfiniteFuture()));
  EXPECT_TRUE(std::filesystem::exists(ImageFile()));
  ASSERT_OK_AND_ASSIGN(const Upload upload, images_->GetUpload("acme", sha256_, kNow));
  EXPECT_TRUE(upload.complete);
}

TEST_F(ImagesTest, TwoThatAnnounceAtOnceShareOneQuota) {
  std::vector<std::thread> clients;
  std::vector<absl::Status> statuses(8);
  for (size_t i = 0; i < statuses.size(); ++i) {
    clients.emplace_back([&, i] {
      statuses[i] =
          images_->CreateUpload("acme", crypto::Sha256Hex(absl::StrCat(i)), 400 << 10, kNow).status();
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(
      std::count_if(statuses.begin(), statuses.end(), [](const absl::Status& status) { return status.ok(); }),
      2);
}

TEST_F(ImagesTest, AnUploadThatWasAnnouncedWithAnotherLengthBeginsAnew) {
  ASSERT_OK(images_->CreateUpload("acme", sha256_, 100, kNow));
  {
    ASSERT_OK_AND_ASSIGN(auto session, images_->OpenUpload("acme", sha256_));
    ASSERT_OK(session->Append(0, std::string(50, 'x'), kNow));
  }
  ASSERT_OK_AND_ASSIGN(const Upload upload, images_->CreateUpload("acme", sha256_, content_.size(), kNow));
  EXPECT_EQ(upload.length_bytes, static_cast<int64_t>(content_.size()));
  EXPECT_EQ(upload.committed_bytes, 0);
  EXPECT_FALSE(upload.complete);
  ASSERT_OK_AND_ASSIGN(auto session, images_->OpenUpload("acme", sha256_));
  ASSERT_OK(session->Append(0, content_, kNow));
  ASSERT_OK_AND_ASSIGN(const Upload complete, session->Finish());
  EXPECT_TRUE(complete.complete);
}

}  // namespace
}  // namespace countersign::package_store
