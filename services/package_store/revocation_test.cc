// The Management Authority takes packages back, metadata withdraws them, and the history tells of both.
#include "common/trust/revocation.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/rpc/channel.h"
#include "common/testing/status_matchers.h"
#include "common/trust/dsse.h"
#include "common/trust/keys.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "services/package_store/testing/publisher.h"

namespace countersign::package_store {
namespace {

using rpc::Identity;
using rpc::Role;
using ::testing::ElementsAre;
using testing::ImageSpec;
using testing::Publisher;
using testing::TestStore;
namespace v1 = ::countersign::package_store::v1;
using Stub = v1::PackageStoreService::Stub;

const Identity kAcme{Role::kManufacturer, "acme"};
const Identity kZeta{Role::kManufacturer, "zeta"};
const Identity kAuthority{Role::kAuthority, "ma"};
const Identity kOperator{Role::kOperator, "op"};
const Identity kGateway{Role::kGateway, "gw-1"};
const Identity kRollout{Role::kService, "rollout"};

constexpr char kPath[] = "acme/thermostat/thermostat-1.0.0.bin";
constexpr char kReason[] = "It opens a debug port.";

rpc::testing::TestPki& Pki() {
  static auto& pki = *new rpc::testing::TestPki();
  return pki;
}

// A store in which acme's package is approved.
class RevocationTest : public ::testing::Test {
 protected:
  RevocationTest() : publisher_(SystemClock().Now()), store_(&Pki()) {
    store_.Start(publisher_);
    publisher_.PublishAll(store_, {"acme", "zeta"});
    publisher_.PublishImages(store_, "acme", {Image()});
    absl::StatusOr<v1::Package> package = GetPackage(kPath, kAuthority);
    EXPECT_OK(package);
    if (package.ok()) package_ = *package;
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(const Identity& as,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    Response response;
    rpc::CallContext context(absl::Seconds(30));
    const absl::Status status = rpc::FromGrpc((store_.Stub(as).*method)(context.get(), request, &response));
    if (!status.ok()) return status;
    return response;
  }
  absl::StatusOr<v1::Package> Revoke(const v1::RevokePackageRequest& request,
                                     const Identity& as = kAuthority) {
    return Call(as, &Stub::RevokePackage, request);
  }
  absl::StatusOr<v1::Package> GetPackage(const std::string& path, const Identity& as,
                                         bool include_revoked = false) {
    v1::GetPackageRequest request;
    request.set_target_path(path);
    request.set_include_revoked(include_revoked);
    return Call(as, &Stub::GetPackage, request);
  }
  std::vector<std::string> ListPackages(bool include_revoked) {
    v1::ListPackagesRequest request;
    request.set_parent("manufacturers/-");
    request.set_include_revoked(include_revoked);
    request.set_page_size(1);
    std::vector<std::string> found;
    do {
      const absl::StatusOr<v1::ListPackagesResponse> page = Call(kOperator, &Stub::ListPackages, request);
      EXPECT_OK(page);
      if (!page.ok()) break;
      for (const v1::Package& package : page->packages()) {
        found.push_back(absl::StrCat(package.target_path(), " ", v1::Package::State_Name(package.state())));
      }
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    return found;
  }
  absl::StatusOr<v1::Proposal> Propose(int64_t version, const std::vector<ImageSpec>& images) {
    for (const ImageSpec& image : images) EXPECT_OK(store_.Upload(kAcme, "acme", image.content));
    v1::CreateProposalRequest request;
    request.set_parent("manufacturers/acme");
    request.set_metadata(publisher_.Sign("acme", publisher_.Role(version, images)));
    request.set_request_id(crypto::Uuid());
    return Call(kAcme, &Stub::CreateProposal, request);
  }
  absl::StatusOr<v1::Proposal> Approve(const v1::Proposal& proposal) {
    return Call(kAuthority, &Stub::ApproveProposal, publisher_.Approve(proposal));
  }
  // All events, newest first, in pages of one.
  std::vector<v1::PackageEvent> History(const std::string& parent, const std::string& path,
                                        const Identity& as) {
    v1::ListPackageEventsRequest request;
    request.set_parent(parent);
    request.set_target_path(path);
    request.set_page_size(1);
    std::vector<v1::PackageEvent> events;
    do {
      const absl::StatusOr<v1::ListPackageEventsResponse> page = Call(as, &Stub::ListPackageEvents, request);
      EXPECT_OK(page);
      if (!page.ok()) break;
      events.insert(events.end(), page->events().begin(), page->events().end());
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    return events;
  }
  std::vector<std::string> Kinds(const std::string& path) {
    std::vector<std::string> kinds;
    for (const v1::PackageEvent& event : History("manufacturers/-", path, kAuthority)) {
      kinds.push_back(v1::PackageEvent::Kind_Name(event.kind()).substr(std::string("KIND_").size()));
    }
    return kinds;
  }
  // An entry of the transparency log, which has few.
  std::string LogEntry(int64_t index) {
    v1::GetLogFileRequest request;
    for (int64_t size = index + 1; size < 256; ++size) {
      request.set_path(absl::StrCat("tile/entries/000.p/", size));
      const absl::StatusOr<v1::LogFile> bundle = Call(kGateway, &Stub::GetLogFile, request);
      if (!bundle.ok()) continue;
      absl::string_view rest = bundle->content();
      for (int64_t i = 0; rest.size() >= 2; ++i) {
        const size_t length = static_cast<uint8_t>(rest[0]) << 8 | static_cast<uint8_t>(rest[1]);
        if (i == index) return std::string(rest.substr(2, length));
        rest.remove_prefix(2 + length);
      }
    }
    return "";
  }
  // The next `count` of what watchers are told, from the beginning.
  std::vector<std::string> Watched(int count) {
    auto stub = store_.As(kRollout);
    rpc::CallContext context(absl::Seconds(60));
    const auto stream = stub->WatchPackages(context.get(), v1::WatchPackagesRequest());
    std::vector<std::string> changes;
    v1::WatchPackagesResponse response;
    while (static_cast<int>(changes.size()) < count && stream->Read(&response)) {
      changes.push_back(absl::StrCat(response.package().target_path(), " ",
                                     v1::Package::State_Name(response.package().state())));
    }
    context->TryCancel();
    return changes;
  }

  ImageSpec Image() { return {.path = kPath, .content = "firmware of a thermostat"}; }
  std::string Digest() { return crypto::Sha256Hex(Image().content); }

  Publisher publisher_;
  TestStore store_;
  v1::Package package_;
};

// SC-MA
TEST_F(RevocationTest, ARevokedPackageIsApprovedNoLongerAndGatewaysAreNotGivenItsImage) {
  EXPECT_EQ(package_.state(), v1::Package::STATE_APPROVED);
  EXPECT_THAT(store_.Download(kGateway, Digest()), IsOkAndHolds(Image().content));
  ASSERT_OK_AND_ASSIGN(const v1::Package revoked, Revoke(publisher_.Revoke(package_, kReason)));
  EXPECT_EQ(revoked.state(), v1::Package::STATE_REVOKED);
  EXPECT_EQ(revoked.ended_by(), "authority/ma");
  EXPECT_EQ(revoked.end_reason(), kReason);
  EXPECT_TRUE(revoked.has_end_time());

  for (const Identity& caller : {kGateway, kRollout, kAcme, kOperator}) {
    EXPECT_THAT(GetPackage(kPath, caller), StatusIs(absl::StatusCode::kNotFound, "PACKAGE_REVOKED"));
  }
  EXPECT_THAT(store_.Download(kGateway, Digest()), StatusIs(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND"));
  EXPECT_THAT(ListPackages(false), ElementsAre());
  // It can still be examined, with the authority's signed word about it.
  EXPECT_THAT(ListPackages(true), ElementsAre(absl::StrCat(kPath, " STATE_REVOKED")));
  EXPECT_THAT(store_.Download(kAuthority, Digest()), IsOkAndHolds(Image().content));
  ASSERT_OK_AND_ASSIGN(const v1::Package kept, GetPackage(kPath, kAcme, /*include_revoked=*/true));
  ASSERT_OK_AND_ASSIGN(const trust::DsseEnvelope envelope,
                       trust::DsseEnvelope::Parse(kept.revocation_statement()));
  ASSERT_OK_AND_ASSIGN(const trust::RevocationStatement statement,
                       trust::RevocationStatement::Parse(envelope));
  EXPECT_EQ(statement.reason, kReason);
  EXPECT_THAT(Watched(2),
              ElementsAre(absl::StrCat(kPath, " STATE_APPROVED"), absl::StrCat(kPath, " STATE_REVOKED")));
}

TEST_F(RevocationTest, RevokingTwiceChangesNothing) {
  const v1::RevokePackageRequest request = publisher_.Revoke(package_, kReason);
  ASSERT_OK_AND_ASSIGN(const v1::Package first, Revoke(request));
  ASSERT_OK_AND_ASSIGN(const v1::Package again, Revoke(request));
  EXPECT_EQ(again.SerializeAsString(), first.SerializeAsString());
  // And so does another revocation: the first reason stays.
  ASSERT_OK_AND_ASSIGN(const v1::Package other, Revoke(publisher_.Revoke(package_, "Another reason.")));
  EXPECT_EQ(other.SerializeAsString(), first.SerializeAsString());
  EXPECT_THAT(Kinds(kPath), ElementsAre("REVOKED", "APPROVED", "PROPOSED"));
}

TEST_F(RevocationTest, OnlyTheAuthorityRevokesAndOnlyWithItsKey) {
  const v1::RevokePackageRequest good = publisher_.Revoke(package_, kReason);
  for (const Identity& other : {kAcme, kOperator, kGateway, kRollout}) {
    EXPECT_THAT(Revoke(good, other), StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
  }
  const auto signed_by = [&](const crypto::PemSigner& key) {
    Publisher other = publisher_;
    other.authority = key;
    return other.Revoke(package_, kReason);
  };
  EXPECT_THAT(Revoke(signed_by(publisher_.manufacturer("acme"))),
              StatusIs(absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY"));
  EXPECT_THAT(Revoke(signed_by(*crypto::PemSigner::Generate(crypto::KeyType::kEcdsaP256))),
              StatusIs(absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY"));
  EXPECT_OK(GetPackage(kPath, kRollout));
}

TEST_F(RevocationTest, AStatementRevokesExactlyThePackageThatItNames) {
  publisher_.PublishImages(store_, "acme", {{.path = "acme/lamp/l.bin", .content = "lamp"}});
  ASSERT_OK_AND_ASSIGN(const v1::Package lamp, GetPackage("acme/lamp/l.bin", kAuthority));
  const v1::RevokePackageRequest good = publisher_.Revoke(package_, kReason);
  const auto refused = [&](const v1::RevokePackageRequest& request, const std::string& reason) {
    EXPECT_THAT(Revoke(request), StatusIs(absl::StatusCode::kInvalidArgument, reason));
  };
  // A statement for another path, digest, publication or reason.
  v1::RevokePackageRequest request = publisher_.Revoke(lamp, kReason);
  request.set_target_path(kPath);
  refused(request, "STATEMENT_INVALID");
  v1::Package other = package_;
  other.set_sha256(lamp.sha256());
  refused(publisher_.Revoke(other, kReason), "STATEMENT_INVALID");
  other = package_;
  other.set_role_version(2);
  refused(publisher_.Revoke(other, kReason), "STATEMENT_INVALID");
  request = good;
  request.set_reason("Another reason.");
  refused(request, "STATEMENT_INVALID");
  // Altered, unsigned, no statement, an approval.
  const auto with = [&](auto change) {
    trust::DsseEnvelope envelope = *trust::DsseEnvelope::Parse(good.revocation_statement());
    change(envelope);
    v1::RevokePackageRequest changed = good;
    changed.set_revocation_statement(envelope.Serialise());
    return changed;
  };
  refused(with([&](trust::DsseEnvelope& envelope) {
            trust::RevocationStatement statement = *trust::RevocationStatement::Parse(envelope);
            statement.revoked_at += absl::Seconds(1);
            envelope.payload = statement.ToEnvelope().payload;
          }),
          "SIGNATURE_INVALID");
  refused(with([](trust::DsseEnvelope& envelope) { envelope.signatures.clear(); }), "STATEMENT_INVALID");
  request = good;
  request.clear_revocation_statement();
  refused(request, "STATEMENT_INVALID");
  request.set_revocation_statement(package_.approval_statement());
  refused(request, "STATEMENT_INVALID");
  request = good;
  request.clear_reason();
  refused(request, "REASON_INVALID");
  request = good;
  request.set_target_path("acme/thermostat/unknown.bin");
  EXPECT_THAT(Revoke(request), StatusIs(absl::StatusCode::kNotFound, "PACKAGE_NOT_FOUND"));
  EXPECT_OK(GetPackage(kPath, kRollout));
  EXPECT_OK(Revoke(good));
}

// What the authority signed about one publication says nothing about a later one of the same path.
TEST_F(RevocationTest, AnOldStatementDoesNotRevokeWhatWasApprovedAgainSince) {
  const v1::RevokePackageRequest old = publisher_.Revoke(package_, kReason);
  ASSERT_OK_AND_ASSIGN(v1::Proposal proposal, Propose(2, {}));
  ASSERT_OK(Approve(proposal));
  ASSERT_OK_AND_ASSIGN(proposal, Propose(3, {Image()}));
  ASSERT_OK(Approve(proposal));
  EXPECT_THAT(Revoke(old), StatusIs(absl::StatusCode::kInvalidArgument, "STATEMENT_INVALID"));
  EXPECT_OK(GetPackage(kPath, kRollout));
}

TEST_F(RevocationTest, ARevokedPathIsNeverApprovedAgainButItsBytesMayBeUnderAnother) {
  // One that waits while the package is revoked, and lists it.
  ASSERT_OK_AND_ASSIGN(const v1::Proposal waiting,
                       Propose(2, {Image(), {.path = "acme/lamp/l.bin", .content = "lamp"}}));
  ASSERT_OK(Revoke(publisher_.Revoke(package_, kReason)));
  EXPECT_THAT(Approve(waiting), StatusIs(absl::StatusCode::kFailedPrecondition, "REVOKED"));
  EXPECT_THAT(Propose(2, {Image()}), StatusIs(absl::StatusCode::kFailedPrecondition, "REVOKED"));
  // Not even when the role has not listed it for a while.
  ASSERT_OK_AND_ASSIGN(const v1::Proposal without, Propose(2, {}));
  ASSERT_OK(Approve(without));
  EXPECT_THAT(Propose(3, {Image()}), StatusIs(absl::StatusCode::kFailedPrecondition, "REVOKED"));
  EXPECT_THAT(ListPackages(true), ElementsAre(absl::StrCat(kPath, " STATE_REVOKED")));

  ImageSpec renamed = Image();
  renamed.path = "acme/thermostat/thermostat-1.0.1.bin";
  ASSERT_OK_AND_ASSIGN(const v1::Proposal again, Propose(3, {renamed}));
  ASSERT_OK(Approve(again));
  EXPECT_OK(GetPackage(renamed.path, kGateway));
  EXPECT_THAT(store_.Download(kGateway, Digest()), IsOkAndHolds(renamed.content));
  EXPECT_THAT(GetPackage(kPath, kGateway), StatusIs(absl::StatusCode::kNotFound, "PACKAGE_REVOKED"));
}

TEST_F(RevocationTest, WithdrawalsAreToldToWatchersAndMayBeRevokedOrTakenBack) {
  // By the role's next version, and back.
  ASSERT_OK_AND_ASSIGN(v1::Proposal proposal, Propose(2, {}));
  ASSERT_OK(Approve(proposal));
  EXPECT_THAT(GetPackage(kPath, kRollout), StatusIs(absl::StatusCode::kNotFound, "PACKAGE_WITHDRAWN"));
  ASSERT_OK_AND_ASSIGN(const v1::Package withdrawn, GetPackage(kPath, kRollout, /*include_revoked=*/true));
  EXPECT_EQ(withdrawn.state(), v1::Package::STATE_WITHDRAWN);
  EXPECT_EQ(withdrawn.ended_by(), "authority/ma");
  ASSERT_OK_AND_ASSIGN(proposal, Propose(3, {Image()}));
  ASSERT_OK(Approve(proposal));
  ASSERT_OK_AND_ASSIGN(package_, GetPackage(kPath, kRollout));
  // By top-level targets with another key of the manufacturer's.
  Publisher other(SystemClock().Now());
  other.authority = publisher_.authority;
  other.targets_key = publisher_.targets_key;
  v1::PublishTargetsRequest targets;
  targets.set_metadata(other.TopTargets(2, {"acme", "zeta"}));
  ASSERT_OK(Call(kOperator, &Stub::PublishTargets, targets));
  EXPECT_THAT(GetPackage(kPath, kRollout), StatusIs(absl::StatusCode::kNotFound, "PACKAGE_WITHDRAWN"));
  EXPECT_THAT(store_.Download(kGateway, Digest()), StatusIs(absl::StatusCode::kNotFound));
  // A key that the role has got since must not pass for the authority's.
  Publisher thief = other;
  thief.authority = other.manufacturer("acme");
  EXPECT_THAT(Revoke(thief.Revoke(package_, kReason)),
              StatusIs(absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY"));
  ASSERT_OK(Revoke(publisher_.Revoke(package_, kReason)));
  EXPECT_THAT(Watched(5),
              ElementsAre(absl::StrCat(kPath, " STATE_APPROVED"), absl::StrCat(kPath, " STATE_WITHDRAWN"),
                          absl::StrCat(kPath, " STATE_APPROVED"), absl::StrCat(kPath, " STATE_WITHDRAWN"),
                          absl::StrCat(kPath, " STATE_REVOKED")));
  EXPECT_THAT(Kinds(kPath), ElementsAre("REVOKED", "WITHDRAWN", "APPROVED", "PROPOSED", "WITHDRAWN",
                                        "APPROVED", "PROPOSED"));
  const v1::PackageEvent by_targets = History("manufacturers/acme", kPath, kAcme).at(1);
  EXPECT_EQ(by_targets.identity(), "operator/op");
  EXPECT_THAT(by_targets.key_ids(), ElementsAre(trust::KeyId(publisher_.targets_key.public_key())));
  EXPECT_THAT(by_targets.reason(), ::testing::HasSubstr("Version 2 of the top-level targets"));
}

// PLUS-5, SC-MA
TEST_F(RevocationTest, TheHistoryTellsWhoDidWhatWhenAndWhy) {
  const std::string acme_key = trust::KeyId(publisher_.manufacturer("acme").public_key());
  const std::string authority_key = trust::KeyId(publisher_.authority.public_key());
  const ImageSpec lamp{.path = "acme/lamp/l.bin", .content = "lamp"};
  ASSERT_OK_AND_ASSIGN(const v1::Proposal first, Propose(2, {Image(), lamp}));
  ASSERT_OK_AND_ASSIGN(const v1::Proposal second, Propose(2, {Image(), lamp}));
  v1::RefuseProposalRequest refuse;
  refuse.set_name(second.name());
  refuse.set_reason(kReason);
  refuse.set_request_id(crypto::Uuid());
  ASSERT_OK(Call(kAuthority, &Stub::RefuseProposal, refuse));
  ASSERT_OK(Revoke(publisher_.Revoke(package_, kReason)));

  const std::vector<v1::PackageEvent> lamps = History("manufacturers/acme", lamp.path, kAcme);
  ASSERT_EQ(lamps.size(), 4u);
  EXPECT_EQ(lamps[0].kind(), v1::PackageEvent::KIND_REFUSED);
  EXPECT_EQ(lamps[0].identity(), "authority/ma");
  EXPECT_EQ(lamps[0].reason(), kReason);
  EXPECT_EQ(lamps[0].proposal(), second.name());
  EXPECT_EQ(lamps[1].kind(), v1::PackageEvent::KIND_PROPOSED);
  EXPECT_EQ(lamps[1].identity(), "manufacturer/acme");
  EXPECT_EQ(lamps[1].sha256(), crypto::Sha256Hex(lamp.content));
  EXPECT_EQ(lamps[1].role_version(), 2);
  EXPECT_THAT(lamps[1].key_ids(), ElementsAre(acme_key));
  EXPECT_EQ(lamps[2].kind(), v1::PackageEvent::KIND_SUPERSEDED);
  EXPECT_EQ(lamps[2].proposal(), first.name());
  EXPECT_THAT(lamps[2].reason(), ::testing::HasSubstr("took its place"));
  EXPECT_EQ(lamps[3].kind(), v1::PackageEvent::KIND_PROPOSED);

  const std::vector<v1::PackageEvent> all = History("manufacturers/-", kPath, kOperator);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].kind(), v1::PackageEvent::KIND_REVOKED);
  EXPECT_EQ(all[0].identity(), "authority/ma");
  EXPECT_EQ(all[0].reason(), kReason);
  EXPECT_THAT(all[0].key_ids(), ElementsAre(authority_key));
  EXPECT_EQ(all[1].kind(), v1::PackageEvent::KIND_APPROVED);
  EXPECT_THAT(all[1].key_ids(), ElementsAre(acme_key, authority_key));
  for (const v1::PackageEvent& event : all) EXPECT_TRUE(event.has_time());
  // PLUS-3: what was published and taken back is in the log.
  EXPECT_THAT(LogEntry(all[0].log_index()), ::testing::HasSubstr("\"kind\":\"package_revoked\""));
  EXPECT_THAT(LogEntry(all[0].log_index()), ::testing::HasSubstr(kPath));
  EXPECT_THAT(LogEntry(all[1].log_index()), ::testing::HasSubstr("\"kind\":\"package_approved\""));
  EXPECT_FALSE(all[2].has_log_index());

  // A manufacturer reads its own.
  EXPECT_EQ(History("manufacturers/-", "", kAcme).size(), 7u);
  EXPECT_EQ(History("manufacturers/-", "", kZeta).size(), 0u);
  EXPECT_EQ(History("manufacturers/-", kPath, kZeta).size(), 0u);
  v1::ListPackageEventsRequest request;
  request.set_parent("manufacturers/acme");
  EXPECT_THAT(Call(kZeta, &Stub::ListPackageEvents, request),
              StatusIs(absl::StatusCode::kPermissionDenied, "NOT_YOUR_MANUFACTURER"));
  EXPECT_THAT(Call(kGateway, &Stub::ListPackageEvents, request),
              StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
}

}  // namespace
}  // namespace countersign::package_store
