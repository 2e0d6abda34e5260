#include "tools/ctl/export_repository.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/entry.h"
#include "common/tlog/memory_log.h"
#include "common/tlog/proof.h"
#include "common/tlog/reasons.h"
#include "common/tlog/tile_reader.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/ctl/export_folder.h"

namespace countersign::ctl {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
constexpr char kPath[] = "acme/lamp/fw.bin";
constexpr char kLog[] = "test.example/log";

// A store that does what the test says, and can stop after so many answers.
class TestSource : public RepositorySource {
 public:
  explicit TestSource(const std::map<std::string, std::string>& files) : files_(files) {}

  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t) override {
    if (answers_left == 0) return absl::UnavailableError("the store went away");
    --answers_left;
    if (before_fetch) before_fetch(filename);
    const auto found = files_.find(std::string(filename));
    if (found == files_.end()) return absl::NotFoundError(filename);
    return found->second;
  }

  absl::Status Download(const std::string& sha256, int64_t offset, int64_t,
                        const std::function<absl::Status(absl::string_view)>& sink) override {
    if (answers_left == 0) return absl::UnavailableError("the store went away");
    --answers_left;
    ++downloads;
    const auto found = images.find(sha256);
    if (found == images.end()) return absl::NotFoundError(sha256);
    for (size_t at = static_cast<size_t>(offset); at < found->second.size(); ++at) {
      if (cut_at == static_cast<int64_t>(at)) return absl::UnavailableError("cut");
      ++bytes_sent;
      if (absl::Status status = sink(absl::string_view(found->second).substr(at, 1)); !status.ok())
        return status;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> LogFile(const std::string& path) override {
    if (answers_left == 0) return absl::UnavailableError("the store went away");
    --answers_left;
    if (path != "checkpoint") return log.File(path);
    if (log_signer == nullptr) return absl::NotFoundError(path);
    return tlog::SignCheckpoint(log.Head(log.size(), kLog), *log_signer);
  }

  absl::StatusOr<std::string> LogProof(const std::string& target_path) override {
    const auto found = proofs.find(target_path);
    if (found == proofs.end()) return absl::NotFoundError(target_path);
    return found->second;
  }

  // Writes the approval of an image into the log, and keeps its proof.
  void Approve(const std::string& target_path, const std::string& image) {
    tlog::LogEntry entry;
    entry.kind = tlog::kPackageApproved;
    entry.role = "acme";
    entry.role_version = 1;
    entry.metadata_sha256 = crypto::Sha256Hex("metadata");
    entry.target_path = target_path;
    entry.image_sha256 = crypto::Sha256Hex(image);
    log.Append(entry.ToLeaf());
    tlog::OfflineProof proof;
    proof.extra = entry.ToLeaf();
    proof.index = log.size() - 1;
    proof.hashes = tlog::InclusionProof(proof.index, log.size(), log.Nodes()).value();
    proof.checkpoint = tlog::SignCheckpoint(log.Head(log.size(), kLog), *log_signer).value();
    proofs[target_path] = proof.Format();
  }

  tlog::MemoryLog log;
  const crypto::Signer* log_signer = nullptr;  // no log without one
  std::map<std::string, std::string> proofs;   // by target path

  void AddImage(const std::string& image) { images[crypto::Sha256Hex(image)] = image; }

  std::map<std::string, std::string> images;  // by the digest that is promised
  int answers_left = 1000;
  int64_t cut_at = -1;
  int downloads = 0;
  int bytes_sent = 0;
  std::function<void(absl::string_view)> before_fetch;

 private:
  const std::map<std::string, std::string>& files_;
};

// Serves from an exported folder.
class FolderFetcher : public trust::Fetcher {
 public:
  explicit FolderFetcher(std::string folder) : folder_(std::move(folder)) {}
  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    return ReadFile(absl::StrCat(folder_, "/metadata/", filename), max_length);
  }

 private:
  std::string folder_;
};

class ExportTest : public ::testing::Test {
 protected:
  ExportTest()
      : folder_(absl::StrCat(::testing::TempDir(), "/",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())),
        repository_(kNow),
        source_(repository_.files) {
    fs::remove_all(folder_);
    repository_.AddManufacturer("acme", {"acme/*", "acme/*/*"});
    Add(kPath, "image one");
    repository_.Publish();
    options_ = {.folder = folder_, .root = repository_.first_root};
  }
  ~ExportTest() override { fs::remove_all(folder_); }

  void Add(const std::string& path, const std::string& image) {
    repository_.delegated["acme"].targets[path] = trust::MakeTarget(image, 1, {"lamp"});
    source_.AddImage(image);
  }
  void PublishNext() {
    repository_.Raise({"acme"});
    repository_.Publish();
  }

  absl::StatusOr<ExportReport> Export() { return ExportRepository(source_, options_, kNow); }

  std::string Served(const std::string& path) {
    return ReadFile(absl::StrCat(folder_, "/", path)).value_or("(none)");
  }
  std::string ImagePath(const std::string& path, const std::string& image) {
    return absl::StrCat("targets/", trust::TargetFilename(path, crypto::Sha256Hex(image)));
  }

  // Whether a client that knows only the first root, and one that knows `store`, are served all of a
  // repository from the folder: every target that they believe in is there.
  absl::Status CheckWhole() {
    trust::MemoryStore none;
    if (absl::Status status = CheckWholeFor(none); !status.ok()) return status;
    return CheckWholeFor(old_client_);
  }
  absl::Status CheckWholeFor(trust::TrustedStore& store) {
    FolderFetcher fetcher(folder_);
    trust::RepositoryClient client(&fetcher, &store, repository_.first_root);
    if (absl::Status status = client.Refresh(kNow); !status.ok()) return status;
    absl::StatusOr<std::vector<trust::ReachedRole>> roles = client.ReachedRoles();
    if (!roles.ok()) return roles.status();
    for (const trust::ReachedRole& role : *roles) {
      if (!role.targets.ok()) return role.targets.status();
      for (const auto& [path, target] : role.targets->targets) {
        const std::string image =
            Served(absl::StrCat("targets/", trust::TargetFilename(path, target.sha256)));
        if (crypto::Sha256Hex(image) != target.sha256) return absl::DataLossError(path);
      }
    }
    return absl::OkStatus();
  }

  std::string folder_;
  trust::TestRepository repository_;
  TestSource source_;
  ExportOptions options_;
  trust::MemoryStore old_client_;
};

const auto wrote = [](int metadata, int images) {
  return IsOkAndHolds(
      AllOf(Field(&ExportReport::metadata_written, metadata), Field(&ExportReport::images_written, images)));
};

TEST_F(ExportTest, AClientIsServedFromTheFiles) {
  EXPECT_THAT(Export(), wrote(5, 1));
  EXPECT_OK(CheckWhole());
  EXPECT_EQ(Served("metadata/timestamp.json"), repository_.files["timestamp.json"]);
  EXPECT_EQ(Served("metadata/1.root.json"), repository_.first_root);
  EXPECT_EQ(Served(ImagePath(kPath, "image one")), "image one");
}

TEST_F(ExportTest, WhatIsThereIsNotWrittenAgain) {
  ASSERT_OK(Export());
  EXPECT_THAT(Export(), wrote(0, 0));
  Add("acme/lamp/two.bin", "image two");
  PublishNext();
  EXPECT_THAT(Export(), wrote(3, 1));  // acme, snapshot, timestamp
  EXPECT_EQ(source_.downloads, 2);
  EXPECT_OK(CheckWhole());
}

TEST_F(ExportTest, TheFirstExportNeedsARoot) {
  options_.root = "";
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kFailedPrecondition, "ROOT_REQUIRED"));
  options_.root = repository_.first_root;
  ASSERT_OK(Export());
  options_.root = "";
  EXPECT_OK(Export());
}

TEST_F(ExportTest, ARootOfAnotherRepositoryIsRefused) {
  ASSERT_OK(Export());
  options_.root = trust::TestRepository(kNow).first_root;
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kFailedPrecondition, "ROOT_DIFFERS"));
}

TEST_F(ExportTest, AllRootsAreThereWhicheverTheClientWasMadeWith) {
  for (int version = 2; version <= 4; ++version) {
    trust::Root next = repository_.root;
    next.version = version;
    repository_.RotateRoot(next, repository_.RootSigners());
  }
  options_.root = repository_.files["3.root.json"];
  EXPECT_THAT(Export(), wrote(8, 1));
  EXPECT_OK(CheckWhole());
}

TEST_F(ExportTest, ACutDownloadGoesOnWhereItWas) {
  source_.cut_at = 4;
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(source_.bytes_sent, 4);
  source_.cut_at = -1;
  EXPECT_THAT(Export(), wrote(5, 1));
  EXPECT_EQ(source_.bytes_sent, 9);
  EXPECT_OK(CheckWhole());
}

// Whatever the moment at which it ends, what is served is the old repository or the new one.
TEST_F(ExportTest, AnExportThatEndsAnywhereLeavesAWholeRepository) {
  ASSERT_OK(Export());
  ASSERT_OK(CheckWhole());
  Add("acme/lamp/two.bin", "image two");
  Add("acme/lamp/three.bin", "image three");
  PublishNext();
  int failures = 0;
  for (int answers = 0;; ++answers) {
    source_.answers_left = answers;
    const bool done = Export().ok();
    EXPECT_OK(CheckWhole()) << "after " << answers << " answers";
    if (done) break;
    ++failures;
  }
  EXPECT_GE(failures, 3);
  EXPECT_EQ(Served(ImagePath("acme/lamp/three.bin", "image three")), "image three");
}

// The disk is full at the n-th file that is written; here a folder stands where the file is to go.
TEST_F(ExportTest, AFileThatCannotBeWrittenLeavesAWholeRepository) {
  ASSERT_OK(Export());
  Add("acme/lamp/two.bin", "image two");
  PublishNext();
  for (const std::string& path :
       {ImagePath("acme/lamp/two.bin", "image two"), std::string("metadata/2.acme.json"),
        std::string("metadata/2.snapshot.json")}) {
    fs::create_directories(absl::StrCat(folder_, "/", path, "/in-the-way"));
    EXPECT_FALSE(Export().ok()) << path;
    EXPECT_OK(CheckWhole()) << path;
    fs::remove_all(absl::StrCat(folder_, "/", path));
  }
  ASSERT_OK(Export());
  EXPECT_OK(CheckWhole());
}

TEST_F(ExportTest, APublicationInTheMiddleIsExportedTheNextTime) {
  source_.before_fetch = [this](absl::string_view filename) {
    if (filename != "1.snapshot.json" || repository_.timestamp.version > 1) return;
    Add("acme/lamp/two.bin", "image two");
    PublishNext();
  };
  ASSERT_OK(Export());
  EXPECT_OK(CheckWhole());
  EXPECT_NE(Served("metadata/timestamp.json"), repository_.files["timestamp.json"]);
  ASSERT_OK(Export());
  EXPECT_EQ(Served("metadata/timestamp.json"), repository_.files["timestamp.json"]);
  EXPECT_OK(CheckWhole());
}

// The names under which files appear in folders, in order.
class Appearances {
 public:
  explicit Appearances(const std::vector<std::string>& folders) : fd_(::inotify_init1(IN_NONBLOCK)) {
    for (const std::string& folder : folders)
      ::inotify_add_watch(fd_, folder.c_str(), IN_MOVED_TO | IN_CREATE);
  }
  ~Appearances() { ::close(fd_); }
  std::vector<std::string> Take() {
    std::vector<std::string> names;
    alignas(inotify_event) char buffer[16384];
    const ssize_t size = ::read(fd_, buffer, sizeof(buffer));
    for (ssize_t at = 0; at < size;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(buffer + at);
      names.push_back(event->name);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
    return names;
  }

 private:
  const int fd_;
};

TEST_F(ExportTest, WhatIsReferredToAppearsFirst) {
  ASSERT_OK(Export());
  Add("acme/lamp/two.bin", "image two");
  repository_.Raise({"acme", "targets"});
  repository_.Publish();
  Appearances appearances({folder_ + "/metadata", folder_ + "/targets/acme/lamp"});
  ASSERT_OK(Export());
  EXPECT_THAT(appearances.Take(), ElementsAre(crypto::Sha256Hex("image two") + ".two.bin", "2.acme.json",
                                              "2.targets.json", "2.snapshot.json", "timestamp.json"));
}

// The key of the timestamp rotates by way of a root that has the old and the new one: at no moment is a
// client served a timestamp that the newest root does not vouch for.
TEST_F(ExportTest, RootsAppearAsSoonAsWhatIsServedVerifiesWithThem) {
  ASSERT_OK(Export());
  trust::Root next = repository_.root;
  next.version = 2;
  repository_.timestamp_signer = trust::NewSigner();
  next.AddKey("timestamp", repository_.timestamp_signer.public_key());
  repository_.RotateRoot(next, repository_.RootSigners());
  next.version = 3;
  next.roles["timestamp"].key_ids = {trust::KeyId(repository_.timestamp_signer.public_key())};
  repository_.RotateRoot(next, repository_.RootSigners());
  repository_.Raise({});
  repository_.Publish();
  Appearances appearances({folder_ + "/metadata"});
  ASSERT_OK(Export());
  EXPECT_THAT(appearances.Take(),
              ElementsAre("2.snapshot.json", "2.root.json", "timestamp.json", "3.root.json"));
  EXPECT_OK(CheckWhole());
}

TEST_F(ExportTest, AStoreThatLiesIsRefusedAndChangesNothing) {
  ASSERT_OK(Export());
  const std::string before = Served("metadata/timestamp.json");
  PublishNext();
  repository_.files["timestamp.json"] =
      trust::SignedBytes(repository_.timestamp.ToEnvelope(), {&repository_.snapshot_signer});
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kInvalidArgument, trust::kThresholdNotMet));
  EXPECT_EQ(Served("metadata/timestamp.json"), before);
  EXPECT_OK(CheckWhole());
}

TEST_F(ExportTest, AnOlderRepositoryIsRefused) {
  const std::map<std::string, std::string> old = repository_.files;
  PublishNext();
  ASSERT_OK(Export());
  repository_.files = old;
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kFailedPrecondition, trust::kMetadataRollback));
}

TEST_F(ExportTest, AnImageWithOtherBytesIsNotServed) {
  std::string& image = source_.images[crypto::Sha256Hex("image one")];
  image = "image evil";  // longer
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kDataLoss, "LENGTH_MISMATCH"));
  image = "image 1";
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kDataLoss, "LENGTH_MISMATCH"));
  image = "image ewe";
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH"));
  EXPECT_FALSE(fs::exists(folder_ + "/targets"));
  EXPECT_FALSE(fs::exists(folder_ + "/metadata"));
  image = "image one";
  EXPECT_OK(Export());
}

TEST_F(ExportTest, NothingIsWrittenOutsideTheFolder) {
  // The keys of the roles are the liar's; the names are refused all the same.
  repository_.delegated["acme"].targets["acme/../../../out.bin"] = trust::MakeTarget("out", 1, {"lamp"});
  source_.AddImage("out");
  PublishNext();
  EXPECT_THAT(Export(), IsOkAndHolds(Field(&ExportReport::left_out, SizeIs(1))));
  EXPECT_EQ(source_.downloads, 0);
  EXPECT_FALSE(fs::exists(folder_ + "/../out.bin"));
}

// One manufacturer whose keys were taken away does not keep the others from being served.
TEST_F(ExportTest, ARoleThatIsNotSignedByWhoMustSignIsLeftOut) {
  repository_.AddManufacturer("zenith", {"zenith/*"});
  repository_.delegated["zenith"].targets["zenith/a.bin"] = trust::MakeTarget("a", 1, {"car"});
  source_.AddImage("a");
  repository_.Raise({"targets"});
  repository_.Publish();
  repository_.files["1.zenith.json"] =
      trust::SignedBytes(repository_.delegated["zenith"].ToEnvelope(), {&repository_.manufacturer});
  const absl::StatusOr<ExportReport> report = Export();
  ASSERT_OK(report);
  EXPECT_EQ(report->roles, 1);
  ASSERT_THAT(report->left_out, SizeIs(1));
  EXPECT_TRUE(absl::StartsWith(report->left_out[0], "zenith: "));
  EXPECT_EQ(Served("metadata/1.zenith.json"), "(none)");
  EXPECT_EQ(Served(ImagePath(kPath, "image one")), "image one");
}

TEST_F(ExportTest, TwoAtOnceAreNotPossible) {
  const absl::StatusOr<ExportFolder> other = ExportFolder::Open(folder_);
  ASSERT_OK(other);
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kFailedPrecondition, "EXPORT_RUNNING"));
}

TEST_F(ExportTest, PruningLeavesWhatWasInForceUntilNow) {
  options_.prune = true;
  ASSERT_OK(Export());
  repository_.delegated["acme"].targets.clear();
  Add("acme/lamp/two.bin", "image two");
  PublishNext();
  ASSERT_OK(WriteFileAtomically(folder_ + "/targets/robots.txt", "not ours"));
  EXPECT_THAT(Export(), IsOkAndHolds(Field(&ExportReport::removed, 0)));
  EXPECT_EQ(Served(ImagePath(kPath, "image one")), "image one");
  EXPECT_THAT(Export(), IsOkAndHolds(Field(&ExportReport::removed, 3)));  // snapshot, acme, image
  EXPECT_EQ(Served(ImagePath(kPath, "image one")), "(none)");
  EXPECT_EQ(Served("metadata/1.snapshot.json"), "(none)");
  EXPECT_EQ(Served("targets/robots.txt"), "not ours");
  EXPECT_EQ(Served("metadata/1.root.json"), repository_.first_root);
  EXPECT_OK(CheckWhole());
}

TEST_F(ExportTest, AFlippedBitIsFoundByReading) {
  ASSERT_OK(Export());
  ASSERT_OK(WriteFileAtomically(folder_ + "/" + ImagePath(kPath, "image one"), "imagf one"));
  EXPECT_THAT(Export(), wrote(0, 0));
  options_.reread = true;
  EXPECT_THAT(Export(), wrote(0, 1));
  EXPECT_OK(CheckWhole());
}

class ExportLogTest : public ExportTest {
 protected:
  ExportLogTest() : signer_(crypto::PemSigner::Generate(crypto::KeyType::kEd25519).value()) {
    trust::Root next = repository_.root;
    next.version = 2;
    next.log_key = tlog::VerifierKey::Make(kLog, signer_.public_key()).value().Format();
    repository_.RotateRoot(next, repository_.RootSigners());
    source_.log_signer = &signer_;
    Append(300);
    source_.Approve(kPath, "image one");
  }
  void Append(int count) {
    for (int i = 0; i < count; ++i) source_.log.Append(absl::StrCat("entry ", source_.log.size()));
  }

  crypto::PemSigner signer_;
};

const auto wrote_log = [](int files) { return IsOkAndHolds(Field(&ExportReport::log_written, files)); };

TEST_F(ExportLogTest, TheLogIsThereWithAProofForEachPackage) {
  // 301 entries: two bundles, two tiles of their hashes, one above; the head, and the proof.
  EXPECT_THAT(Export(), wrote_log(7));
  const tlog::VerifierKey key = tlog::VerifierKey::Parse(repository_.root.log_key).value();
  const absl::StatusOr<tlog::Checkpoint> head = tlog::OpenCheckpoint(Served("log/checkpoint"), key);
  ASSERT_OK(head);
  absl::StatusOr<tlog::TileReader> log = tlog::TileReader::Open(
      [this](const std::string& path) { return ReadFile(absl::StrCat(folder_, "/log/", path)); }, *head);
  ASSERT_OK(log);
  EXPECT_EQ(log->Entries(1)->at(0), "entry 256");
  const absl::StatusOr<tlog::OfflineProof> proof =
      tlog::OfflineProof::Parse(Served(absl::StrCat("proofs/", kPath, ".tlog-proof")));
  ASSERT_OK(proof);
  EXPECT_OK(proof->Verify(proof->extra, key));
}

TEST_F(ExportLogTest, OnlyWhatGrewIsWritten) {
  ASSERT_OK(Export());
  EXPECT_THAT(Export(), wrote_log(0));
  Append(1);
  EXPECT_THAT(Export(), wrote_log(3));  // a bundle, a tile, the head
  options_.prune = true;
  ASSERT_OK(Export());
  EXPECT_EQ(Served("log/tile/0/001.p/45"), "(none)");
  EXPECT_EQ(Served("log/tile/0/001.p/46").size(), 46 * 32);
}

TEST_F(ExportLogTest, TheLogAppearsBeforeItsHead) {
  ASSERT_OK(Export());
  Append(1);
  Appearances appearances(
      {folder_ + "/log", folder_ + "/log/tile/0/001.p", folder_ + "/log/tile/entries/001.p"});
  ASSERT_OK(Export());
  EXPECT_THAT(appearances.Take(), ElementsAre("46", "46", "checkpoint"));
}

// Two heads that contradict each other: what was exported stays, and nothing newer is served.
TEST_F(ExportLogTest, ALogThatForgetsIsRefused) {
  ASSERT_OK(Export());
  const std::string timestamp = Served("metadata/timestamp.json");
  const std::string checkpoint = Served("log/checkpoint");
  PublishNext();
  source_.log = tlog::MemoryLog();
  Append(500);
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kInvalidArgument, tlog::kInconsistent));
  source_.log = tlog::MemoryLog();
  Append(5);
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kInvalidArgument, tlog::kInconsistent));
  EXPECT_EQ(Served("metadata/timestamp.json"), timestamp);
  EXPECT_EQ(Served("log/checkpoint"), checkpoint);
}

TEST_F(ExportLogTest, AHeadOfAnotherKeyIsRefused) {
  const crypto::PemSigner thief = crypto::PemSigner::Generate(crypto::KeyType::kEd25519).value();
  source_.log_signer = &thief;
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kInvalidArgument, tlog::kSignatureInvalid));
}

TEST_F(ExportLogTest, AProofAboutSomethingElseIsRefused) {
  source_.Approve("acme/lamp/other.bin", "image two");
  source_.proofs[kPath] = source_.proofs["acme/lamp/other.bin"];
  EXPECT_THAT(Export(), StatusIs(absl::StatusCode::kInvalidArgument, tlog::kProofInvalid));
}

TEST_F(ExportLogTest, AnotherKeyBeginsAnotherLog) {
  ASSERT_OK(Export());
  const crypto::PemSigner next_signer = crypto::PemSigner::Generate(crypto::KeyType::kEd25519).value();
  trust::Root next = repository_.root;
  next.version = 3;
  next.log_key = tlog::VerifierKey::Make(kLog, next_signer.public_key()).value().Format();
  repository_.RotateRoot(next, repository_.RootSigners());
  source_.log_signer = &next_signer;
  source_.log = tlog::MemoryLog();
  source_.Approve(kPath, "image one");
  EXPECT_OK(Export());
  const tlog::VerifierKey key = tlog::VerifierKey::Parse(next.log_key).value();
  EXPECT_OK(tlog::OpenCheckpoint(Served("log/checkpoint"), key));
}

}  // namespace
}  // namespace countersign::ctl
