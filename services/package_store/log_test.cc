// The transparency log, through the API: what was published, by whomever, is there for everybody to see.
#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "common/testing/status_matchers.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/entry.h"
#include "common/tlog/merkle.h"
#include "common/tlog/proof.h"
#include "common/tlog/tile_reader.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "services/package_store/testing/program.h"
#include "services/package_store/testing/publisher.h"

// PLUS-3
namespace countersign::package_store {
namespace {

using rpc::Identity;
using rpc::Role;
using testing::Program;
using testing::Publisher;
using testing::StorePlace;
using testing::TestStore;
namespace v1 = ::countersign::package_store::v1;

using Stub = v1::PackageStoreService::Stub;

const Identity kAuthority{Role::kAuthority, "ma"};
const Identity kOperator{Role::kOperator, "op"};
const Identity kGateway{Role::kGateway, "gw-1"};
const Identity kRollout{Role::kService, "rollout"};

absl::StatusOr<std::string> GetLogFile(Stub& stub, const std::string& path) {
  v1::GetLogFileRequest request;
  request.set_path(path);
  v1::LogFile file;
  rpc::CallContext context(absl::Seconds(30));
  const absl::Status status = rpc::FromGrpc(stub.GetLogFile(context.get(), request, &file));
  if (!status.ok()) return status;
  EXPECT_EQ(file.path(), path);
  return file.content();
}

absl::Status PublishTargets(Stub& stub, const std::string& bytes) {
  v1::PublishTargetsRequest request;
  request.set_metadata(bytes);
  v1::MetadataFile file;
  rpc::CallContext context(absl::Seconds(30));
  return rpc::FromGrpc(stub.PublishTargets(context.get(), request, &file));
}

absl::Status PublishRoot(Stub& stub, const std::string& bytes) {
  v1::PublishRootRequest request;
  request.set_metadata(bytes);
  v1::MetadataFile file;
  rpc::CallContext context(absl::Seconds(30));
  return rpc::FromGrpc(stub.PublishRoot(context.get(), request, &file));
}

// The log as a reader of `stub` sees it, verified.
absl::StatusOr<tlog::TileReader> OpenLog(Stub& stub, const tlog::VerifierKey& key) {
  const auto fetch = [&stub](const std::string& path) { return GetLogFile(stub, path); };
  const absl::StatusOr<std::string> bytes = fetch("checkpoint");
  if (!bytes.ok()) return bytes.status();
  const absl::StatusOr<tlog::Checkpoint> head = tlog::OpenCheckpoint(*bytes, key);
  if (!head.ok()) return head.status();
  return tlog::TileReader::Open(fetch, *head);
}

class LogTest : public ::testing::Test {
 protected:
  LogTest() : publisher_(SystemClock().Now()), store_(&pki_) { store_.Start(publisher_); }

  tlog::VerifierKey Key() const { return tlog::VerifierKey::Parse(publisher_.LogVkey()).value(); }

  std::vector<tlog::LogEntry> Entries() {
    absl::StatusOr<tlog::TileReader> log = OpenLog(store_.Stub(kGateway), Key());
    EXPECT_OK(log);
    std::vector<tlog::LogEntry> entries;
    for (int64_t bundle = 0; log.ok() && bundle * tlog::kTileWidth < log->head().size; ++bundle) {
      const std::vector<std::string> leaves = log->Entries(bundle).value();
      for (const std::string& leaf : leaves) entries.push_back(tlog::LogEntry::Parse(leaf).value());
    }
    return entries;
  }
  std::vector<std::string> Kinds() {
    std::vector<std::string> kinds;
    for (const tlog::LogEntry& entry : Entries()) kinds.push_back(entry.kind);
    return kinds;
  }

  absl::StatusOr<v1::Package> GetPackage(const std::string& path) {
    v1::GetPackageRequest request;
    request.set_target_path(path);
    v1::Package package;
    rpc::CallContext context(absl::Seconds(30));
    const absl::Status status =
        rpc::FromGrpc(store_.Stub(kRollout).GetPackage(context.get(), request, &package));
    if (!status.ok()) return status;
    return package;
  }

  rpc::testing::TestPki pki_;
  Publisher publisher_;
  TestStore store_;
};

TEST_F(LogTest, EverythingThatIsPublishedIsAnEntry) {
  EXPECT_THAT(GetLogFile(store_.Stub(kGateway), "checkpoint"),
              StatusIs(absl::StatusCode::kNotFound, "LOG_FILE_NOT_FOUND"));
  publisher_.PublishAll(store_, {"acme", "zeta"});
  publisher_.PublishImages(store_, "acme",
                           {{.path = "acme/lamp/1.bin", .content = "one"},
                            {.path = "acme/lamp/2.bin", .content = "two", .release_counter = 2}});
  const std::vector<tlog::LogEntry> entries = Entries();
  ASSERT_EQ(Kinds(),
            (std::vector<std::string>{tlog::kRootPublished, tlog::kTargetsPublished, tlog::kRolePublished,
                                      tlog::kPackageApproved, tlog::kPackageApproved}));
  testing::StoreFetcher metadata(&store_.Stub(kGateway));
  for (const tlog::LogEntry& entry : entries) {
    ASSERT_OK_AND_ASSIGN(const std::string file,
                         metadata.Fetch(trust::MetadataFilename(entry.role, entry.role_version), 1 << 20));
    EXPECT_EQ(entry.metadata_sha256, crypto::Sha256Hex(file));
    EXPECT_EQ(entry.role_version, 1);
    EXPECT_FALSE(entry.key_ids.empty());
  }
  EXPECT_EQ(entries[0].key_ids.size(), 2u);  // root's threshold
  EXPECT_EQ(entries[4].role, "acme");
  EXPECT_EQ(entries[4].target_path, "acme/lamp/2.bin");
  EXPECT_EQ(entries[4].image_sha256, crypto::Sha256Hex("two"));
  EXPECT_EQ(entries[4].key_ids.size(), 2u);  // both parties

  // The same file again is no second publication.
  ASSERT_OK(PublishTargets(store_.Stub(kOperator), publisher_.TopTargets(2, {"acme", "zeta"})));
  ASSERT_OK(PublishTargets(store_.Stub(kOperator), publisher_.TopTargets(2, {"acme", "zeta"})));
  EXPECT_EQ(Kinds().size(), 6u);
  EXPECT_EQ(Kinds().back(), tlog::kTargetsPublished);
}

TEST_F(LogTest, WhatIsWithdrawnIsAnEntryToo) {
  publisher_.PublishAll(store_, {"acme", "zeta"});
  publisher_.PublishImages(store_, "acme", {{.path = "acme/lamp/1.bin", .content = "one"}});
  ASSERT_OK(PublishTargets(store_.Stub(kOperator), publisher_.TopTargets(2, {"zeta"})));
  const tlog::LogEntry last = Entries().back();
  EXPECT_EQ(last.kind, tlog::kPackageWithdrawn);
  EXPECT_EQ(last.role, "targets");
  EXPECT_EQ(last.role_version, 2);
  EXPECT_EQ(last.target_path, "acme/lamp/1.bin");
  EXPECT_EQ(last.Manufacturer(), "acme");
}

TEST_F(LogTest, APackageComesWithAProofThatNeedsNoServer) {
  publisher_.PublishAll(store_, {"acme"});
  publisher_.PublishImages(store_, "acme", {{.path = "acme/lamp/1.bin", .content = "one"}});
  publisher_.PublishImages(store_, "acme",
                           {{.path = "acme/lamp/2.bin", .content = "two", .release_counter = 2}});
  for (const auto& [path, version] :
       std::map<std::string, int64_t>{{"acme/lamp/1.bin", 1}, {"acme/lamp/2.bin", 2}}) {
    ASSERT_OK_AND_ASSIGN(const v1::Package package, GetPackage(path));
    ASSERT_OK_AND_ASSIGN(const tlog::OfflineProof proof, tlog::OfflineProof::Parse(package.log_proof()));
    EXPECT_OK(tlog::CheckApprovalLeaf(proof.extra, path, package.sha256(), version));
    EXPECT_OK(proof.Verify(proof.extra, Key()));
  }
}

TEST_F(LogTest, ARootThatDoesNotNameTheLogsKeyIsRefused) {
  Publisher other(SystemClock().Now());
  const trust::Envelope named = *trust::Envelope::Parse(publisher_.Root());
  trust::Root root = *trust::Root::Parse(named);
  for (const std::string& key : {std::string(), other.LogVkey()}) {
    root.log_key = key;
    trust::Envelope envelope = root.ToEnvelope();
    for (int i : {0, 1}) ASSERT_OK(envelope.Sign(publisher_.root_keys[i]));
    EXPECT_THAT(PublishRoot(store_.Stub(kOperator), envelope.Serialise()),
                StatusIs(absl::StatusCode::kFailedPrecondition, "LOG_KEY_NOT_LISTED"));
  }
  EXPECT_OK(PublishRoot(store_.Stub(kOperator), publisher_.Root()));
}

// "Never sign two inconsistent heads": as after a restored backup, the database has less than was signed.
TEST_F(LogTest, ADatabaseBehindTheLastHeadPublishesNothing) {
  publisher_.PublishAll(store_, {"acme"});
  const std::string record = absl::StrCat(store_.config().blob_dir, "/records/log-head");
  ASSERT_OK_AND_ASSIGN(const std::string kept, ReadFile(record));
  ASSERT_OK_AND_ASSIGN(tlog::Checkpoint head, tlog::Checkpoint::Parse(kept));
  EXPECT_EQ(head.size, 2);
  EXPECT_TRUE(absl::StrContains(store_.HttpGet("/metrics"), "countersign_package_store_log_inconsistent 0"));
  head.size = 5;
  ASSERT_OK(WriteFileAtomically(record, head.Text()));
  store_.Restart();

  EXPECT_TRUE(absl::StrContains(store_.HttpGet("/readyz"), "log")) << store_.HttpGet("/readyz");
  EXPECT_TRUE(absl::StrContains(store_.HttpGet("/metrics"), "countersign_package_store_log_inconsistent 1"));
  EXPECT_THAT(PublishTargets(store_.Stub(kOperator), publisher_.TopTargets(2, {"acme"})),
              StatusIs(absl::StatusCode::kFailedPrecondition, "LOG_INCONSISTENT"));
  EXPECT_OK(GetLogFile(store_.Stub(kGateway), "checkpoint"));
  EXPECT_EQ(Entries().size(), 2u);

  ASSERT_OK(WriteFileAtomically(record, kept));
  store_.Restart();
  EXPECT_OK(PublishTargets(store_.Stub(kOperator), publisher_.TopTargets(2, {"acme"})));
  EXPECT_TRUE(absl::StrContains(store_.HttpGet("/metrics"), "countersign_package_store_log_inconsistent 0"));
}

// Two processes, one database: many publish through both at once, and others look at the heads all the time.
TEST(LogReplicasTest, TwoReplicasSignOneLog) {
  rpc::testing::TestPki pki;
  Publisher publisher(SystemClock().Now());
  const StorePlace place(publisher);
  Program first(&pki, place);
  Program second(&pki, place);
  first.Start();
  second.Start();
  const std::vector<std::string> manufacturers = {"acme", "beta", "gamma"};
  ASSERT_OK(PublishRoot(*first.As(kOperator), publisher.Root()));
  ASSERT_OK(PublishTargets(*second.As(kOperator), publisher.TopTargets(1, manufacturers)));

  // Made here: the test's authority issues one certificate at a time.
  Program* const replicas[] = {&first, &second};
  std::map<std::pair<int, std::string>, std::unique_ptr<Stub>> stubs;
  for (int i : {0, 1}) {
    stubs[{i, "ma"}] = replicas[i]->As(kAuthority);
    stubs[{i, "gateway"}] = replicas[i]->As(kGateway);
    for (const std::string& id : manufacturers) stubs[{i, id}] = replicas[i]->As({Role::kManufacturer, id});
  }
  std::atomic<bool> done = false;
  std::vector<std::set<std::string>> seen(2);
  std::vector<std::thread> observers;
  for (int i : {0, 1}) {
    observers.emplace_back([&, i] {
      Stub& stub = *stubs.at({i, "gateway"});
      while (!done) seen[i].insert(GetLogFile(stub, "checkpoint").value());
    });
  }
  constexpr int kVersions = 6;
  std::vector<std::thread> parties;
  for (const std::string& manufacturer : manufacturers) {
    parties.emplace_back([&, manufacturer] {
      for (int version = 1; version <= kVersions; ++version) {
        Stub& propose = *stubs.at({version % 2, manufacturer});
        Stub& approve = *stubs.at({1 - version % 2, "ma"});
        v1::CreateProposalRequest request;
        request.set_parent(absl::StrCat("manufacturers/", manufacturer));
        request.set_metadata(publisher.Sign(manufacturer, publisher.Role(version, {})));
        request.set_request_id(crypto::Uuid());
        v1::Proposal proposal;
        rpc::CallContext create(absl::Seconds(60));
        ASSERT_OK(rpc::FromGrpc(propose.CreateProposal(create.get(), request, &proposal)));
        v1::Proposal approved;
        rpc::CallContext decide(absl::Seconds(60));
        ASSERT_OK(
            rpc::FromGrpc(approve.ApproveProposal(decide.get(), publisher.Approve(proposal), &approved)));
      }
    });
  }
  for (std::thread& party : parties) party.join();
  done = true;
  for (std::thread& observer : observers) observer.join();

  const tlog::VerifierKey key = tlog::VerifierKey::Parse(publisher.LogVkey()).value();
  ASSERT_OK_AND_ASSIGN(tlog::TileReader log, OpenLog(*stubs.at({0, "gateway"}), key));
  EXPECT_EQ(log.head().size, 2 + static_cast<int64_t>(manufacturers.size()) * kVersions);
  std::vector<tlog::Checkpoint> heads;
  for (const std::set<std::string>& of_replica : seen) {
    for (const std::string& bytes : of_replica) {
      ASSERT_OK_AND_ASSIGN(tlog::Checkpoint head, tlog::OpenCheckpoint(bytes, key));
      heads.push_back(std::move(head));
    }
  }
  EXPECT_GT(heads.size(), 4u);
  for (const tlog::Checkpoint& older : heads) {
    for (const tlog::Checkpoint& newer : heads) {
      if (older.size > newer.size) continue;
      ASSERT_OK_AND_ASSIGN(const std::vector<tlog::Hash> proof,
                           tlog::ConsistencyProof(older.size, newer.size,
                                                  [&](const tlog::Node& node) { return log.Read(node); }));
      EXPECT_OK(tlog::VerifyConsistency(older.size, older.root, newer.size, newer.root, proof));
    }
  }
  std::set<std::pair<std::string, int64_t>> published;
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> leaves, log.Entries(0));
  for (const std::string& leaf : leaves) {
    const tlog::LogEntry entry = tlog::LogEntry::Parse(leaf).value();
    EXPECT_TRUE(published.emplace(entry.role, entry.role_version).second) << leaf;
  }
}

}  // namespace
}  // namespace countersign::package_store
