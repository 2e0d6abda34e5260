// The real program, killed at any moment: nothing that it has answered is lost, and nothing is done twice.

#include <atomic>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "common/testing/status_matchers.h"
#include "common/trust/client.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "services/package_store/testing/program.h"
#include "services/package_store/testing/publisher.h"
#include "services/package_store/testing/s3_server.h"

namespace countersign::package_store {
namespace {

using rpc::Identity;
using rpc::Role;
using testing::ImageSpec;
using testing::Program;
using testing::Publisher;
using testing::S3Server;
using testing::StoreFetcher;
using testing::StorePlace;
namespace v1 = ::countersign::package_store::v1;

const Identity kAcme{Role::kManufacturer, "acme"};
const Identity kAuthority{Role::kAuthority, "ma"};
const Identity kOperator{Role::kOperator, "op"};
const Identity kGateway{Role::kGateway, "gw-1"};

class CrashTest : public ::testing::Test {
 protected:
  CrashTest() : publisher_(SystemClock().Now()), program_(&pki_, StorePlace(publisher_)) {}

  void SetUp() override {
    program_.Start();
    const auto stub = program_.As(kOperator);
    v1::MetadataFile file;
    v1::PublishRootRequest root;
    root.set_metadata(publisher_.Root());
    rpc::CallContext root_call(absl::Seconds(30));
    ASSERT_OK(rpc::FromGrpc(stub->PublishRoot(root_call.get(), root, &file)));
    v1::PublishTargetsRequest targets;
    targets.set_metadata(publisher_.TopTargets(1, {"acme"}));
    rpc::CallContext targets_call(absl::Seconds(30));
    ASSERT_OK(rpc::FromGrpc(stub->PublishTargets(targets_call.get(), targets, &file)));
  }

  v1::Upload CreateUpload(const std::string& content) {
    v1::CreateUploadRequest request;
    request.set_parent("manufacturers/acme");
    request.mutable_upload()->set_length_bytes(content.size());
    request.mutable_upload()->set_sha256(crypto::Sha256Hex(content));
    v1::Upload upload;
    rpc::CallContext context(absl::Seconds(30));
    EXPECT_OK(rpc::FromGrpc(program_.As(kAcme)->CreateUpload(context.get(), request, &upload)));
    return upload;
  }
  // Sends from the committed length on until the end or a cut.
  absl::Status Send(v1::PackageStoreService::Stub& stub, const v1::Upload& upload,
                    const std::string& content) {
    rpc::CallContext context(absl::Seconds(30));
    v1::Upload result;
    const auto writer = stub.WriteUpload(context.get(), &result);
    v1::WriteUploadRequest chunk;
    chunk.set_name(upload.name());
    for (size_t offset = upload.committed_bytes(); offset < content.size(); offset += chunk.data().size()) {
      chunk.set_offset(offset);
      chunk.set_data(content.substr(offset, 64 << 10));
      if (!writer->Write(chunk)) break;
    }
    writer->WritesDone();
    return rpc::FromGrpc(writer->Finish());
  }

  rpc::testing::TestPki pki_;
  Publisher publisher_;
  Program program_;
};

TEST_F(CrashTest, AnUploadGoesOnAfterEachKill) {
  const std::string content = crypto::RandomBytes(24 << 20);
  v1::Upload upload = CreateUpload(content);
  for (int kills = 0; kills < 3 && upload.state() != v1::Upload::STATE_COMPLETE; ++kills) {
    const auto stub = program_.As(kAcme);
    const auto observer = program_.As(kAcme);
    std::thread sender([&] { Send(*stub, upload, content).IgnoreError(); });
    // Killed as soon as something more has come.
    v1::GetUploadRequest request;
    request.set_name(upload.name());
    v1::Upload seen = upload;
    while (seen.state() != v1::Upload::STATE_COMPLETE && seen.committed_bytes() <= upload.committed_bytes()) {
      rpc::CallContext context(absl::Seconds(30));
      ASSERT_OK(rpc::FromGrpc(observer->GetUpload(context.get(), request, &seen)));
    }
    program_.Kill();
    sender.join();
    program_.Start();
    upload = CreateUpload(content);
    EXPECT_GE(upload.committed_bytes(), seen.committed_bytes());
  }
  if (upload.state() != v1::Upload::STATE_COMPLETE) {
    ASSERT_OK(Send(*program_.As(kAcme), upload, content));
  }
  EXPECT_EQ(CreateUpload(content).state(), v1::Upload::STATE_COMPLETE);
}

// SC-MA: an approval is all there or not at all, and repeating the request does it once.
TEST_F(CrashTest, AnApprovalThatIsKilledIsAllThereOrNotAtAllAndRepeatsAsOne) {
  std::vector<ImageSpec> images;
  constexpr int kRounds = 5;
  for (int round = 1; round <= kRounds; ++round) {
    const std::string content = absl::StrCat("firmware ", round);
    images.push_back({.path = absl::StrCat("acme/lamp/lamp-", round, ".bin"),
                      .content = content,
                      .release_counter = round});
    ASSERT_OK(Send(*program_.As(kAcme), CreateUpload(content), content));
    v1::CreateProposalRequest propose;
    propose.set_parent("manufacturers/acme");
    propose.set_metadata(publisher_.Sign("acme", publisher_.Role(round, images)));
    propose.set_request_id(crypto::Uuid());
    v1::Proposal proposal;
    rpc::CallContext context(absl::Seconds(30));
    ASSERT_OK(rpc::FromGrpc(program_.As(kAcme)->CreateProposal(context.get(), propose, &proposal)));

    const v1::ApproveProposalRequest approve = publisher_.Approve(proposal);
    const auto stub = program_.As(kAuthority);
    std::thread approver([&] {
      rpc::CallContext call(absl::Seconds(30));
      v1::Proposal approved;
      stub->ApproveProposal(call.get(), approve, &approved);
    });
    // At some moment of the connection, the transaction, or the answer.
    absl::SleepFor(absl::Microseconds(static_cast<unsigned char>(crypto::RandomBytes(1)[0]) * 100));
    program_.Kill();
    approver.join();
    program_.Start();

    const auto find = [&]() -> absl::Status {
      trust::MemoryStore trusted;
      const auto gateway = program_.As(kGateway);
      StoreFetcher fetcher(gateway.get());
      trust::RepositoryClient client(&fetcher, &trusted, publisher_.Root());
      const absl::Time now = SystemClock().Now();
      absl::Status refreshed = client.Refresh(now);
      EXPECT_OK(refreshed);
      if (!refreshed.ok()) return refreshed;
      const absl::Status found = client.FindTarget(images.back().path, now).status();
      EXPECT_EQ(client.snapshot().version, 1 + (found.ok() ? round : round - 1));
      return found;
    };
    find().IgnoreError();  // whole, whether it is published or not
    v1::Proposal approved;
    rpc::CallContext again(absl::Seconds(30));
    ASSERT_OK(rpc::FromGrpc(program_.As(kAuthority)->ApproveProposal(again.get(), approve, &approved)));
    EXPECT_EQ(approved.state(), v1::Proposal::STATE_APPROVED);
    EXPECT_OK(find());
  }
  EXPECT_EQ(program_.Stop(), 0);
}

// The contents of every image that is visible in a bucket are the ones that its name promises.
void ExpectOnlyWholeImages(const std::string& folder) {
  std::error_code gone;  // what is renamed while we look
  for (std::filesystem::recursive_directory_iterator entry(folder, gone), end; entry != end;
       entry.increment(gone)) {
    const std::string name = entry->path().filename();
    if (!crypto::IsSha256Hex(name)) continue;
    const absl::StatusOr<std::string> content = ReadFile(entry->path(), 64 << 20);
    ASSERT_OK(content);
    EXPECT_EQ(crypto::Sha256Hex(*content), name);
  }
}

// Two replicas on one bucket, which two streams write one upload through, are killed at any moment.
TEST(BucketCrashTest, TwoReplicasThatWriteOneUploadAndAreKilledAtAnyMomentShowOnlyWholeImages) {
  rpc::testing::TestPki pki;
  Publisher publisher(SystemClock().Now());
  S3Server server;
  StorePlace place(publisher);
  place.blob_flags = server.Flags("store");
  Program one(&pki, place);
  Program two(&pki, place);
  one.Start();
  two.Start();
  std::mt19937 random(7);
  for (int round = 0; round < 4; ++round) {
    const std::string content = crypto::RandomBytes((25 << 20) + round);
    const std::string sha256 = crypto::Sha256Hex(content);
    v1::CreateUploadRequest create;
    create.set_parent("manufacturers/acme");
    create.mutable_upload()->set_length_bytes(content.size());
    create.mutable_upload()->set_sha256(sha256);
    std::atomic<bool> complete = false;
    // Goes on, whatever happens, until the image is complete.
    const auto send = [&](absl::FunctionRef<std::unique_ptr<v1::PackageStoreService::Stub>()> dial) {
      while (!complete) {
        const auto stub = dial();
        v1::Upload upload;
        rpc::CallContext context(absl::Seconds(30));
        if (!stub->CreateUpload(context.get(), create, &upload).ok()) continue;
        if (upload.state() == v1::Upload::STATE_COMPLETE) complete = true;
        rpc::CallContext write(absl::Seconds(60));
        const auto writer = stub->WriteUpload(write.get(), &upload);
        v1::WriteUploadRequest chunk;
        chunk.set_name(upload.name());
        for (size_t at = upload.committed_bytes(); at < content.size(); at += chunk.data().size()) {
          chunk.set_offset(at);
          chunk.set_data(content.substr(at, 512 << 10));
          if (!writer->Write(chunk)) break;
        }
        writer->WritesDone();
        writer->Finish();
      }
    };
    absl::Mutex mutex;  // of the addresses, which change with each start
    const auto dial_one = [&] {
      absl::MutexLock lock(&mutex);
      return one.As(kAcme);
    };
    const auto dial_two = [&] {
      absl::MutexLock lock(&mutex);
      return two.As(kAcme);
    };
    std::thread first([&] { send(dial_one); });
    std::thread second([&] { send(dial_two); });
    for (int kills = 0; kills < 5; ++kills) {
      absl::SleepFor(absl::Milliseconds(random() % 700));  // any moment of what they do
      Program& victim = random() % 2 == 0 ? one : two;
      victim.Kill();
      ExpectOnlyWholeImages(server.FileOf("store", "images"));
      absl::MutexLock lock(&mutex);
      victim.Start();
    }
    first.join();
    second.join();
    ExpectOnlyWholeImages(server.FileOf("store", "images"));
    const auto reader_stub = two.As(kAcme);
    v1::DownloadImageRequest request;
    request.set_sha256(sha256);
    rpc::CallContext context(absl::Seconds(60));
    const auto reader = reader_stub->DownloadImage(context.get(), request);
    std::string got;
    v1::DownloadImageResponse response;
    while (reader->Read(&response)) got += response.data();
    ASSERT_OK(rpc::FromGrpc(reader->Finish()));
    EXPECT_TRUE(got == content);
  }
  EXPECT_EQ(one.Stop(), 0);
  EXPECT_EQ(two.Stop(), 0);
}

}  // namespace
}  // namespace countersign::package_store
