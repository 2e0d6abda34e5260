// Deltas of the running service: who gets which, made once by any number of replicas, whatever becomes of
// them.

#include "common/delta/delta.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/db/database.h"
#include "common/db/sql.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "services/package_store/testing/program.h"
#include "services/package_store/testing/publisher.h"

namespace countersign::package_store {
namespace {

using crypto::Sha256Hex;
using rpc::Identity;
using rpc::Role;
using testing::ImageSpec;
using testing::Program;
using testing::Publisher;
using testing::StorePlace;
using testing::TestStore;
namespace v1 = ::countersign::package_store::v1;
using Stub = v1::PackageStoreService::Stub;

const Identity kAcme{Role::kManufacturer, "acme"};
const Identity kZeta{Role::kManufacturer, "zeta"};
const Identity kAuthority{Role::kAuthority, "ma"};
const Identity kOperator{Role::kOperator, "op"};
const Identity kGateway{Role::kGateway, "gw-1"};
const Identity kRollout{Role::kService, "rollout"};

rpc::testing::TestPki& Pki() {
  static auto& pki = *new rpc::testing::TestPki();
  return pki;
}

absl::StatusOr<v1::Delta> GetDelta(Stub& stub, const std::string& base, const std::string& sha256) {
  v1::GetDeltaRequest request;
  request.set_base_sha256(base);
  request.set_sha256(sha256);
  v1::Delta delta;
  rpc::CallContext context(absl::Seconds(30));
  if (absl::Status status = rpc::FromGrpc(stub.GetDelta(context.get(), request, &delta)); !status.ok()) {
    return status;
  }
  return delta;
}

// As soon as it is no longer PENDING.
v1::Delta Await(Stub& stub, const std::string& base, const std::string& sha256) {
  while (true) {
    const absl::StatusOr<v1::Delta> delta = GetDelta(stub, base, sha256);
    EXPECT_OK(delta);
    if (!delta.ok() || delta->state() != v1::Delta::STATE_PENDING) return delta.value_or(v1::Delta());
    EXPECT_GT(delta->retry_delay().seconds(), 0);
    absl::SleepFor(absl::Milliseconds(10));  // whoever makes it needs the processor
  }
}

absl::StatusOr<std::string> Download(Stub& stub, const std::string& base, const std::string& sha256,
                                     int64_t offset = 0, int64_t length = 0) {
  v1::DownloadDeltaRequest request;
  request.set_base_sha256(base);
  request.set_sha256(sha256);
  request.set_offset(offset);
  request.set_length_bytes(length);
  rpc::CallContext context(absl::Seconds(30));
  const auto reader = stub.DownloadDelta(context.get(), request);
  std::string content;
  v1::DownloadDeltaResponse response;
  while (reader->Read(&response)) content += response.data();
  if (absl::Status status = rpc::FromGrpc(reader->Finish()); !status.ok()) return status;
  return content;
}

absl::StatusOr<std::string> Apply(const std::string& base, const std::string& delta, int64_t length) {
  FILE* const file = tmpfile();
  absl::Status status;
  {
    auto applier = delta::Applier::Open(base, fileno(file), length, length);
    status = applier.status();
    if (status.ok()) status = (*applier)->Append(delta);
    if (status.ok()) status = (*applier)->Finish();
  }
  std::string content(length, '\0');
  if (status.ok() && pread(fileno(file), content.data(), length, 0) != length)
    status = absl::InternalError("short");
  fclose(file);
  if (!status.ok()) return status;
  return content;
}

// The value of a metric without labels, or with all of them in `name`.
double Metric(const TestStore& store, absl::string_view name) {
  const std::string text = store.HttpGet("/metrics");
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    double value = 0;
    if (words.size() == 2 && words[0] == name && absl::SimpleAtod(words[1], &value)) return value;
  }
  return 0;
}

// A store in which acme has published `old_` and `new_`, two versions of an image.
class DeltaTest : public ::testing::Test {
 protected:
  DeltaTest() : clock_(SystemClock().Now()), publisher_(clock_.Now()), store_(&Pki()) {
    old_ = crypto::RandomBytes(100'000);
    new_ = old_;
    new_.replace(5000, 11, "new content");
  }
  void SetUp() override {
    store_.config().delta_interval = absl::Milliseconds(20);
    Configure(store_.config());
    store_.Start(publisher_);
    publisher_.PublishAll(store_, {"acme", "zeta"});
    Publish({old_, new_});
  }
  virtual void Configure(Config&) {}

  void Publish(const std::vector<std::string>& contents) {
    std::vector<ImageSpec> images;
    for (const std::string& content : contents) {
      images.push_back({.path = absl::StrCat("acme/lamp/lamp-", ++published_, ".bin"),
                        .content = content,
                        .release_counter = published_});
    }
    publisher_.PublishImages(store_, "acme", images);
  }
  std::string OldSha() const { return Sha256Hex(old_); }
  std::string NewSha() const { return Sha256Hex(new_); }
  Stub& Gateway() { return store_.Stub(kGateway); }
  std::filesystem::path DeltaFolder() { return store_.config().blob_dir + "/deltas"; }
  int64_t Files() {
    const std::filesystem::directory_iterator files(DeltaFolder());
    return std::distance(begin(files), end(files));
  }

  FakeClock clock_;  // for who configures it
  Publisher publisher_;
  TestStore store_;
  std::string old_, new_;
  int published_ = 0;
};

TEST_F(DeltaTest, ADeltaIsMadeForTheFirstWhoAsksAndComesInAnyRanges) {
  ASSERT_OK_AND_ASSIGN(const v1::Delta asked, GetDelta(Gateway(), OldSha(), NewSha()));
  EXPECT_EQ(asked.base_sha256(), OldSha());
  EXPECT_EQ(asked.sha256(), NewSha());
  const v1::Delta delta = Await(Gateway(), OldSha(), NewSha());
  ASSERT_EQ(delta.state(), v1::Delta::STATE_READY);
  EXPECT_FALSE(delta.has_retry_delay());
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Download(Gateway(), OldSha(), NewSha()));
  EXPECT_EQ(static_cast<int64_t>(bytes.size()), delta.length_bytes());
  EXPECT_EQ(Sha256Hex(bytes), delta.delta_sha256());
  EXPECT_LT(bytes.size(), 1000);
  EXPECT_THAT(Apply(old_, bytes, new_.size()), IsOkAndHolds(new_));

  EXPECT_THAT(Download(Gateway(), OldSha(), NewSha(), 10), IsOkAndHolds(bytes.substr(10)));
  EXPECT_THAT(Download(Gateway(), OldSha(), NewSha(), 10, 5), IsOkAndHolds(bytes.substr(10, 5)));
  EXPECT_THAT(Download(Gateway(), OldSha(), NewSha(), bytes.size()),
              StatusIs(absl::StatusCode::kOutOfRange, "RANGE_INVALID"));
  EXPECT_THAT(Download(Gateway(), OldSha(), NewSha(), -1),
              StatusIs(absl::StatusCode::kInvalidArgument, "RANGE_INVALID"));

  EXPECT_EQ(Metric(store_, "countersign_package_store_deltas_total{outcome=\"ready\"}"), 1);
  EXPECT_EQ(Metric(store_, "countersign_package_store_sent_bytes_total{kind=\"delta\"}"),
            bytes.size() + bytes.size() - 10 + 5);
  // Two of the three went to the end.
  EXPECT_EQ(Metric(store_, "countersign_package_store_delta_saved_bytes_total"),
            2 * (new_.size() - bytes.size()));
}

TEST_F(DeltaTest, WhatSavesLessThanAThirdIsNotWorthwhile) {
  const std::string other = crypto::RandomBytes(50'000);
  // The last 30,000 bytes of 100,000 are known; then 40,000 of them.
  const std::string little = crypto::RandomBytes(70'000) + old_.substr(70'000);
  const std::string enough = crypto::RandomBytes(60'000) + old_.substr(60'000);
  Publish({other, little, enough});
  EXPECT_EQ(Await(Gateway(), OldSha(), Sha256Hex(other)).state(), v1::Delta::STATE_NOT_WORTHWHILE);
  EXPECT_EQ(Await(Gateway(), OldSha(), Sha256Hex(little)).state(), v1::Delta::STATE_NOT_WORTHWHILE);
  EXPECT_EQ(Await(Gateway(), OldSha(), Sha256Hex(enough)).state(), v1::Delta::STATE_READY);
  EXPECT_THAT(Download(Gateway(), OldSha(), Sha256Hex(other)),
              StatusIs(absl::StatusCode::kNotFound, "DELTA_NOT_READY"));
  EXPECT_EQ(Metric(store_, "countersign_package_store_deltas_total{outcome=\"not_worthwhile\"}"), 2);
  EXPECT_EQ(Files(), 1);
}

TEST_F(DeltaTest, RequestsThatMakeNoSenseAreRefused) {
  EXPECT_THAT(GetDelta(Gateway(), OldSha(), OldSha()),
              StatusIs(absl::StatusCode::kInvalidArgument, "SAME_IMAGE"));
  EXPECT_THAT(GetDelta(Gateway(), "", NewSha()),
              StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID"));
  EXPECT_THAT(Download(Gateway(), OldSha(), "../../etc/passwd"),
              StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID"));
  EXPECT_THAT(GetDelta(Gateway(), Sha256Hex("nothing"), NewSha()),
              StatusIs(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND"));
}

// A delta tells of both images: who may not see one of them gets none, also when it is there.
TEST_F(DeltaTest, OnlyWhoSeesBothImagesGetsTheirDelta) {
  const std::string waiting = new_ + "waits for its approval";
  std::vector<ImageSpec> images = {
      {.path = "acme/lamp/lamp-1.bin", .content = old_, .release_counter = 1},
      {.path = "acme/lamp/lamp-2.bin", .content = new_, .release_counter = 2},
      {.path = "acme/lamp/lamp-3.bin", .content = waiting, .release_counter = 3}};
  ASSERT_OK(store_.Upload(kAcme, "acme", waiting));
  const std::string uploaded = new_ + "only uploaded";
  ASSERT_OK(store_.Upload(kAcme, "acme", uploaded));
  v1::CreateProposalRequest request;
  request.set_parent("manufacturers/acme");
  request.set_metadata(publisher_.Sign("acme", publisher_.Role(2, images)));
  request.set_request_id(crypto::Uuid());
  v1::Proposal proposal;
  rpc::CallContext context(absl::Seconds(30));
  ASSERT_OK(rpc::FromGrpc(store_.Stub(kAcme).CreateProposal(context.get(), request, &proposal)));

  struct Case {
    std::string sha256;
    std::vector<Identity> may, may_not;
  };
  const Case cases[] = {
      {NewSha(), {kAcme, kOperator, kAuthority, kGateway, kRollout}, {kZeta}},
      {Sha256Hex(waiting), {kAcme, kOperator, kAuthority, kRollout}, {kZeta, kGateway}},
      {Sha256Hex(uploaded), {kAcme}, {kZeta, kGateway, kOperator, kAuthority, kRollout}},
  };
  for (const Case& expected : cases) {
    ASSERT_EQ(Await(store_.Stub(kAcme), OldSha(), expected.sha256).state(), v1::Delta::STATE_READY);
    ASSERT_EQ(Await(store_.Stub(kAcme), expected.sha256, OldSha()).state(), v1::Delta::STATE_READY);
    for (const Identity& identity : expected.may) {
      EXPECT_OK(GetDelta(store_.Stub(identity), OldSha(), expected.sha256)) << identity.ToString();
      EXPECT_OK(Download(store_.Stub(identity), OldSha(), expected.sha256)) << identity.ToString();
      EXPECT_OK(Download(store_.Stub(identity), expected.sha256, OldSha())) << identity.ToString();
    }
    for (const Identity& identity : expected.may_not) {
      const auto none = StatusIs(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND");
      EXPECT_THAT(GetDelta(store_.Stub(identity), OldSha(), expected.sha256), none) << identity.ToString();
      EXPECT_THAT(GetDelta(store_.Stub(identity), expected.sha256, OldSha()), none) << identity.ToString();
      EXPECT_THAT(Download(store_.Stub(identity), OldSha(), expected.sha256), none) << identity.ToString();
      EXPECT_THAT(Download(store_.Stub(identity), expected.sha256, OldSha()), none) << identity.ToString();
    }
  }
  for (const Role role : {Role::kCse, Role::kRegistrar}) {
    EXPECT_THAT(GetDelta(store_.Stub({role, "x"}), OldSha(), NewSha()),
                StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
  }
}

TEST_F(DeltaTest, ADeltaWhoseBytesAreLostIsMadeAgain) {
  ASSERT_EQ(Await(Gateway(), OldSha(), NewSha()).state(), v1::Delta::STATE_READY);
  for (const auto& file : std::filesystem::directory_iterator(DeltaFolder())) {
    std::filesystem::remove(file.path());
  }
  EXPECT_THAT(Download(Gateway(), OldSha(), NewSha()),
              StatusIs(absl::StatusCode::kNotFound, "DELTA_NOT_READY"));
  ASSERT_EQ(Await(Gateway(), OldSha(), NewSha()).state(), v1::Delta::STATE_READY);
  EXPECT_OK(Download(Gateway(), OldSha(), NewSha()));
}

// What a failing disk makes of an image is no base for anybody.
TEST_F(DeltaTest, OfADamagedImageNoDeltaIsMade) {
  const std::string path =
      absl::StrCat(store_.config().blob_dir, "/images/", OldSha().substr(0, 2), "/", OldSha());
  std::filesystem::permissions(path, std::filesystem::perms::owner_write, std::filesystem::perm_options::add);
  FILE* const file = fopen(path.c_str(), "r+b");
  ASSERT_NE(file, nullptr);
  fputc(old_[0] ^ 1, file);
  fclose(file);
  const std::string failed = "countersign_package_store_deltas_total{outcome=\"failed\"}";
  while (Metric(store_, failed) == 0) {
    EXPECT_EQ(GetDelta(Gateway(), OldSha(), NewSha())->state(), v1::Delta::STATE_PENDING);
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_EQ(GetDelta(Gateway(), OldSha(), NewSha())->state(), v1::Delta::STATE_PENDING);
  EXPECT_EQ(Files(), 0);
}

class BusyDeltaTest : public DeltaTest {
 protected:
  // Nobody makes any.
  void Configure(Config& config) override {
    config.delta_interval = absl::Hours(1);
    config.delta_limits = {.max_image_bytes = 150'000, .max_waiting_of_one = 2, .max_waiting = 3};
  }
};

TEST_F(BusyDeltaTest, WhoFloodsTheQueueIsToldToWaitAndDoesNotKeepOthersOut) {
  std::vector<std::string> others;
  for (int i = 0; i < 4; ++i) others.push_back(absl::StrCat(old_, i));
  Publish(others);
  const auto get = [&](const Identity& identity, int i) {
    return GetDelta(store_.Stub(identity), OldSha(), Sha256Hex(others[i]));
  };
  EXPECT_OK(get(kGateway, 0));
  EXPECT_OK(get(kGateway, 1));
  const absl::StatusOr<v1::Delta> third = get(kGateway, 2);
  EXPECT_THAT(third, StatusIs(absl::StatusCode::kResourceExhausted, "TOO_MANY_DELTAS"));
  EXPECT_GT(rpc::RetryDelayOf(third.status()), absl::ZeroDuration());
  EXPECT_OK(get(kGateway, 1));
  EXPECT_OK(get({Role::kGateway, "gw-2"}, 2));
  EXPECT_THAT(get({Role::kGateway, "gw-3"}, 3),
              StatusIs(absl::StatusCode::kResourceExhausted, "TOO_MANY_DELTAS"));
}

TEST_F(BusyDeltaTest, LongImagesHaveNoDeltas) {
  const std::string large = old_ + old_;
  Publish({large});
  EXPECT_EQ(GetDelta(Gateway(), OldSha(), Sha256Hex(large))->state(), v1::Delta::STATE_NOT_WORTHWHILE);
  EXPECT_EQ(GetDelta(Gateway(), Sha256Hex(large), OldSha())->state(), v1::Delta::STATE_NOT_WORTHWHILE);
}

class OldDeltaTest : public DeltaTest {
 protected:
  void Configure(Config& config) override {
    config.clock = &clock_;
    config.cleanup_interval = absl::Milliseconds(20);
    config.delta_keep = absl::Hours(24 * 30);
  }
};

TEST_F(OldDeltaTest, WhatNobodyAsksForIsDeletedAndWhatNobodyKnowsToo) {
  ASSERT_EQ(Await(Gateway(), OldSha(), NewSha()).state(), v1::Delta::STATE_READY);
  ASSERT_OK(WriteFileAtomically(DeltaFolder() / std::string(32, 'a'), "of a replica that died"));
  EXPECT_EQ(Files(), 2);
  clock_.Advance(absl::Hours(2));
  while (Files() > 1) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_OK(Download(Gateway(), OldSha(), NewSha()));
  clock_.Advance(absl::Hours(24 * 31));
  while (Files() > 0) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_THAT(Download(Gateway(), OldSha(), NewSha()),
              StatusIs(absl::StatusCode::kNotFound, "DELTA_NOT_READY"));
}

TEST_F(DeltaTest, OfTwoReplicasOneMakesEachDelta) {
  TestStore replica(&Pki(), store_.config().database, store_.config().blob_dir);
  replica.config().delta_interval = absl::Milliseconds(20);
  replica.Start(publisher_);
  std::vector<std::string> versions;
  for (int i = 0; i < 4; ++i) {
    versions.push_back(old_);
    versions.back().replace(i * 1000, 7, "version");
  }
  Publish(versions);
  for (const std::string& base : versions) {
    for (const std::string& target : versions) {
      if (&base == &target) continue;
      EXPECT_OK(
          GetDelta(store_.Stub(base < target ? kGateway : kOperator), Sha256Hex(base), Sha256Hex(target)));
    }
  }
  for (const std::string& base : versions) {
    for (const std::string& target : versions) {
      if (&base == &target) continue;
      ASSERT_EQ(Await(Gateway(), Sha256Hex(base), Sha256Hex(target)).state(), v1::Delta::STATE_READY);
      // Whoever made it, both have it.
      ASSERT_OK_AND_ASSIGN(const std::string bytes,
                           Download(replica.Stub(kGateway), Sha256Hex(base), Sha256Hex(target)));
      EXPECT_THAT(Download(Gateway(), Sha256Hex(base), Sha256Hex(target)), IsOkAndHolds(bytes));
    }
  }
  const std::string ready = "countersign_package_store_deltas_total{outcome=\"ready\"}";
  EXPECT_EQ(Metric(store_, ready) + Metric(replica, ready), 12);
  EXPECT_EQ(Files(), 12);
}

// The images that the demo moves about, and others of the same packages: what is really saved.
TEST_F(DeltaTest, RealFirmwareSavesAThirdAndMore) {
  const std::string fx2 = "/usr/share/sigrok-firmware/fx2lafw-", ath9k = "/lib/firmware/ath9k_htc/htc_",
                    opensbi = "/usr/lib/riscv64-linux-gnu/opensbi/generic/", bios = "/usr/share/seabios/",
                    u_boot = "/usr/lib/u-boot/", ovmf = "/usr/share/OVMF/OVMF_CODE";
  struct Case {
    std::string base, target;
    double most;  // part of the image that the delta may have
  };
  const Case cases[] = {
      {fx2 + "sigrok-fx2-8ch.fw", fx2 + "sigrok-fx2-16ch.fw", 0.01},
      {fx2 + "saleae-logic.fw", fx2 + "hantek-6022be.fw", 2.0 / 3},
      {ath9k + "7010-1.4.0.fw", ath9k + "9271-1.4.0.fw", 0.25},
      {opensbi + "fw_dynamic.bin", opensbi + "fw_jump.bin", 0.03},
      {bios + "bios.bin", bios + "bios-256k.bin", 0.25},
      {bios + "vgabios-stdvga.bin", bios + "vgabios-qxl.bin", 0.05},
      {u_boot + "qemu_arm/u-boot.bin", u_boot + "qemu_arm64/u-boot.bin", 0.35},
      {ovmf + "_4M.fd", ovmf + "_4M.secboot.fd", 0.45},
  };
  for (const Case& pair : cases) {
    ASSERT_OK_AND_ASSIGN(const std::string base, ReadFile(pair.base));
    ASSERT_OK_AND_ASSIGN(const std::string target, ReadFile(pair.target));
    Publish({base, target});
    const v1::Delta delta = Await(Gateway(), Sha256Hex(base), Sha256Hex(target));
    ASSERT_EQ(delta.state(), v1::Delta::STATE_READY) << pair.target;
    EXPECT_LE(delta.length_bytes(), pair.most * target.size()) << pair.target;
    ASSERT_OK_AND_ASSIGN(const std::string bytes, Download(Gateway(), Sha256Hex(base), Sha256Hex(target)));
    EXPECT_THAT(Apply(base, bytes, target.size()), IsOkAndHolds(target));
    std::cout << pair.target << ": " << target.size() << " bytes, by delta " << bytes.size() << std::endl;
  }
}

// The real programs on one database. A replica that is killed while it makes a delta does not keep it from
// being made.
TEST(KilledDeltaTest, AnotherReplicaMakesWhatAKilledOneBegan) {
  const std::string old = crypto::RandomBytes(24 << 20);
  std::string fresh = old;
  for (size_t at = 0; at < fresh.size(); at += 4096) fresh[at] ^= 1;
  Publisher publisher(SystemClock().Now());
  const StorePlace place(publisher);
  {
    TestStore store(&Pki(), place.database, place.folder + "/blobs");
    store.config().delta_interval = absl::Hours(1);
    store.Start(publisher);
    publisher.PublishAll(store, {"acme"});
    publisher.PublishImages(store, "acme",
                            {{.path = "acme/lamp/lamp-1.bin", .content = old},
                             {.path = "acme/lamp/lamp-2.bin", .content = fresh, .release_counter = 2}});
  }
  db::Database database({.conninfo = place.database});
  const auto claims = [&] {
    return *database.Read("Claims", [](db::Reader& reader) -> absl::StatusOr<std::vector<std::string>> {
      std::vector<std::string> ids;
      for (const pqxx::row& row : reader.exec("SELECT claim FROM deltas WHERE claim IS NOT NULL")) {
        ids.push_back(db::TextOf(row[0]));
      }
      return ids;
    });
  };
  Program first(&Pki(), place, {"--delta-lease-seconds=3"}),
      second(&Pki(), place, {"--delta-lease-seconds=3"});
  first.Start();
  ASSERT_OK(GetDelta(*first.As(kGateway), Sha256Hex(old), Sha256Hex(fresh)));
  while (claims().empty()) absl::SleepFor(absl::Milliseconds(10));
  const std::string claim = claims().front();
  first.Kill();
  second.Start();
  const auto gateway = second.As(kGateway);
  ASSERT_EQ(GetDelta(*gateway, Sha256Hex(old), Sha256Hex(fresh))->state(), v1::Delta::STATE_PENDING);
  ASSERT_EQ(Await(*gateway, Sha256Hex(old), Sha256Hex(fresh)).state(), v1::Delta::STATE_READY);
  EXPECT_NE(claims().front(), claim);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Download(*gateway, Sha256Hex(old), Sha256Hex(fresh)));
  ASSERT_OK_AND_ASSIGN(const std::string applied, Apply(old, bytes, fresh.size()));
  EXPECT_TRUE(applied == fresh);

  // One that is told to stop gives back what it makes, at once.
  ASSERT_OK(GetDelta(*gateway, Sha256Hex(fresh), Sha256Hex(old)));
  while (claims().size() < 2) absl::SleepFor(absl::Milliseconds(10));
  EXPECT_EQ(second.Stop(), 0);
  EXPECT_EQ(claims().size(), 1);
}

}  // namespace
}  // namespace countersign::package_store
