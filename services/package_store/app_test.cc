#include "services/package_store/app.h"

#include <algorithm>
#include <map>
#include <memory>
#include <pqxx/pqxx>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/clock/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/crypto/random.h"
#include "common/rpc/channel.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "common/trust/client.h"
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
using testing::ImageSpec;
using testing::Publisher;
using testing::StoreFetcher;
using testing::TestStore;
namespace v1 = ::countersign::package_store::v1;

const Identity kAcme{Role::kManufacturer, "acme"};
const Identity kZeta{Role::kManufacturer, "zeta"};
const Identity kAuthority{Role::kAuthority, "ma"};
const Identity kOperator{Role::kOperator, "op"};
const Identity kGateway{Role::kGateway, "gw-1"};
const Identity kLiaison{Role::kService, "liaison"};
const Identity kRollout{Role::kService, "rollout"};

constexpr char kPath[] = "acme/thermostat/thermostat-1.0.0.bin";

rpc::testing::TestPki& Pki() {
  static auto& pki = *new rpc::testing::TestPki();
  return pki;
}

// A store with root and targets that delegate to acme and zeta, and everybody's calls.
class AppTest : public ::testing::Test {
 protected:
  AppTest() : publisher_(SystemClock().Now()), store_(&Pki()) {}

  void SetUp() override {
    Configure(store_.config());
    store_.Start(publisher_);
    publisher_.PublishAll(store_, {"acme", "zeta"});
  }
  virtual void Configure(Config&) {}

  absl::StatusOr<v1::Proposal> Propose(const Identity& as, const std::string& manufacturer,
                                       const std::string& metadata,
                                       const std::string& request_id = crypto::Uuid()) {
    v1::CreateProposalRequest request;
    request.set_parent(absl::StrCat("manufacturers/", manufacturer));
    request.set_metadata(metadata);
    request.set_request_id(request_id);
    v1::Proposal proposal;
    rpc::CallContext context(absl::Seconds(30));
    absl::Status status = rpc::FromGrpc(store_.Stub(as).CreateProposal(context.get(), request, &proposal));
    if (!status.ok()) return status;
    return proposal;
  }
  absl::StatusOr<v1::Proposal> Propose(const trust::Targets& role) {
    return Propose(kAcme, "acme", publisher_.Sign("acme", role));
  }
  absl::StatusOr<v1::Proposal> Approve(const v1::ApproveProposalRequest& request,
                                       const Identity& as = kAuthority) {
    v1::Proposal proposal;
    rpc::CallContext context(absl::Seconds(30));
    absl::Status status = rpc::FromGrpc(store_.Stub(as).ApproveProposal(context.get(), request, &proposal));
    if (!status.ok()) return status;
    return proposal;
  }
  absl::StatusOr<v1::Proposal> Refuse(const std::string& name, const std::string& reason) {
    v1::RefuseProposalRequest request;
    request.set_name(name);
    request.set_reason(reason);
    request.set_request_id(crypto::Uuid());
    v1::Proposal proposal;
    rpc::CallContext context(absl::Seconds(30));
    absl::Status status =
        rpc::FromGrpc(store_.Stub(kAuthority).RefuseProposal(context.get(), request, &proposal));
    if (!status.ok()) return status;
    return proposal;
  }
  absl::StatusOr<v1::Proposal> GetProposal(const std::string& name, const Identity& as) {
    v1::GetProposalRequest request;
    request.set_name(name);
    v1::Proposal proposal;
    rpc::CallContext context(absl::Seconds(30));
    absl::Status status = rpc::FromGrpc(store_.Stub(as).GetProposal(context.get(), request, &proposal));
    if (!status.ok()) return status;
    return proposal;
  }
  absl::StatusOr<std::vector<v1::Proposal>> ListProposals(const std::string& parent,
                                                          v1::Proposal::State state, const Identity& as,
                                                          int page_size = 1) {
    v1::ListProposalsRequest request;
    request.set_parent(parent);
    request.set_state(state);
    request.set_page_size(page_size);
    std::vector<v1::Proposal> all;
    do {
      v1::ListProposalsResponse page;
      rpc::CallContext context(absl::Seconds(30));
      absl::Status status = rpc::FromGrpc(store_.Stub(as).ListProposals(context.get(), request, &page));
      if (!status.ok()) return status;
      all.insert(all.end(), page.proposals().begin(), page.proposals().end());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return all;
  }
  absl::StatusOr<v1::Package> GetPackage(const std::string& path, const Identity& as) {
    v1::GetPackageRequest request;
    request.set_target_path(path);
    v1::Package package;
    rpc::CallContext context(absl::Seconds(30));
    absl::Status status = rpc::FromGrpc(store_.Stub(as).GetPackage(context.get(), request, &package));
    if (!status.ok()) return status;
    return package;
  }
  absl::StatusOr<std::string> GetMetadata(const std::string& name, const Identity& as = kGateway) {
    return StoreFetcher(&store_.Stub(as)).Fetch(name, 1 << 20);
  }
  absl::Status PublishRoot(const std::string& bytes, const Identity& as = kOperator) {
    v1::PublishRootRequest request;
    request.set_metadata(bytes);
    v1::MetadataFile file;
    rpc::CallContext context(absl::Seconds(30));
    return rpc::FromGrpc(store_.Stub(as).PublishRoot(context.get(), request, &file));
  }
  absl::Status PublishTargets(const std::string& bytes) {
    v1::PublishTargetsRequest request;
    request.set_metadata(bytes);
    v1::MetadataFile file;
    rpc::CallContext context(absl::Seconds(30));
    return rpc::FromGrpc(store_.Stub(kOperator).PublishTargets(context.get(), request, &file));
  }
  // The version of snapshot in force, as a client that trusts root 1 sees it.
  int64_t SnapshotVersion() {
    trust::MemoryStore trusted;
    StoreFetcher fetcher(&store_.Stub(kGateway));
    trust::RepositoryClient client(&fetcher, &trusted, *GetMetadata("1.root.json"));
    const absl::Status refreshed = client.Refresh(SystemClock().Now());
    EXPECT_OK(refreshed);
    return refreshed.ok() ? client.snapshot().version : -1;
  }
  absl::StatusOr<trust::TargetFile> FindTarget(const std::string& path) {
    trust::MemoryStore trusted;
    StoreFetcher fetcher(&store_.Stub(kGateway));
    absl::StatusOr<std::string> root = GetMetadata("1.root.json");
    if (!root.ok()) return root.status();
    trust::RepositoryClient client(&fetcher, &trusted, *root);
    absl::Status refreshed = client.Refresh(SystemClock().Now());
    if (!refreshed.ok()) return refreshed;
    return client.FindTarget(path, SystemClock().Now());
  }

  ImageSpec Image(const std::string& content = "firmware of a thermostat") {
    return {.path = kPath, .content = content};
  }

  // Uploads acme's image and proposes it as version 1.
  v1::Proposal ProposeFirst() {
    EXPECT_OK(store_.Upload(kAcme, "acme", Image().content));
    const absl::StatusOr<v1::Proposal> proposal = Propose(publisher_.Role(1, {Image()}));
    EXPECT_OK(proposal);
    return proposal.ok() ? *proposal : v1::Proposal();
  }

  Publisher publisher_;
  TestStore store_;
};

// FOTA-A, SC-MA, PLUS-1, HOME-4
TEST_F(AppTest, AnImageThatBothPartiesSignedIsFoundAndVerifiedByAClient) {
  const v1::Proposal proposal = ProposeFirst();
  EXPECT_EQ(proposal.state(), v1::Proposal::STATE_AWAITING_APPROVAL);
  EXPECT_EQ(proposal.proposed_by(), "manufacturer/acme");
  ASSERT_EQ(proposal.changed_targets_size(), 1);
  EXPECT_EQ(proposal.changed_targets(0).target_path(), kPath);
  // Before the authority has signed no client sees it, and no gateway gets its bytes.
  const std::string sha256 = crypto::Sha256Hex(Image().content);
  EXPECT_THAT(FindTarget(kPath), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(GetPackage(kPath, kGateway), StatusIs(absl::StatusCode::kNotFound, "PACKAGE_NOT_FOUND"));
  EXPECT_THAT(store_.Download(kGateway, sha256), StatusIs(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND"));
  EXPECT_THAT(store_.Download(kAuthority, sha256), IsOkAndHolds(Image().content));

  const int64_t snapshot = SnapshotVersion();
  ASSERT_OK_AND_ASSIGN(const v1::Proposal approved, Approve(publisher_.Approve(proposal)));
  EXPECT_EQ(approved.state(), v1::Proposal::STATE_APPROVED);
  EXPECT_EQ(approved.decided_by(), "authority/ma");
  EXPECT_EQ(SnapshotVersion(), snapshot + 1);

  ASSERT_OK_AND_ASSIGN(const trust::TargetFile target, FindTarget(kPath));
  EXPECT_EQ(target.sha256, sha256);
  EXPECT_THAT(store_.Download(kGateway, target.sha256), IsOkAndHolds(Image().content));
  // What is served is what both have signed, byte for byte.
  EXPECT_THAT(GetMetadata("1.acme.json"), IsOkAndHolds(approved.metadata()));
  ASSERT_OK_AND_ASSIGN(const trust::Envelope before, trust::Envelope::Parse(proposal.metadata()));
  ASSERT_OK_AND_ASSIGN(const trust::Envelope after, trust::Envelope::Parse(approved.metadata()));
  EXPECT_EQ(before.canonical(), after.canonical());
  EXPECT_EQ(after.signatures().size(), 2u);

  ASSERT_OK_AND_ASSIGN(const v1::Package package, GetPackage(kPath, kGateway));
  EXPECT_EQ(package.manufacturer(), "acme");
  EXPECT_EQ(package.role_version(), 1);
  EXPECT_EQ(package.approved_by(), "authority/ma");
  EXPECT_THAT(package.manufacturer_key_ids(),
              ::testing::ElementsAre(trust::KeyId(publisher_.manufacturer("acme").public_key())));
  EXPECT_THAT(package.authority_key_ids(),
              ::testing::ElementsAre(trust::KeyId(publisher_.authority.public_key())));
  EXPECT_EQ(trust::CheckApproval(package.approval_statement(),
                                 trust::MakeKeyMap({publisher_.authority.public_key()}),
                                 {sha256, kPath, "hw-1", 1}, SystemClock().Now()),
            trust::ApprovalResult::kApproved);
}

TEST_F(AppTest, FilesThatDoNotExistAreNotFoundAndNamesThatCannotExistAreRefused) {
  EXPECT_THAT(GetMetadata("2.root.json"), StatusIs(absl::StatusCode::kNotFound, "METADATA_NOT_FOUND"));
  for (const std::string name : {"", "root.json", "0.root.json", "01.root.json", "1.a/b.json",
                                 "../1.root.json", "1.root.json.json", "99999999999.root.json"}) {
    EXPECT_THAT(GetMetadata(name), StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID")) << name;
  }
}

TEST_F(AppTest, ARootFollowsOnlyTheOneBeforeItAndOnlyWithBothThresholds) {
  EXPECT_OK(PublishRoot(publisher_.Root(1)));  // the same again
  EXPECT_THAT(PublishRoot(publisher_.Root(3)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"));
  Publisher stranger(SystemClock().Now());
  EXPECT_THAT(PublishRoot(stranger.Root(2)), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PublishRoot("{}"), StatusIs(absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED"));
  EXPECT_THAT(PublishRoot(publisher_.Root(2), kAcme),
              StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
  // A root without the store's own keys would stop all publication.
  const crypto::PemSigner key = std::exchange(publisher_.snapshot_key, publisher_.timestamp_key);
  EXPECT_THAT(PublishRoot(publisher_.Root(2)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "ONLINE_KEY_NOT_LISTED"));
  publisher_.snapshot_key = key;
  EXPECT_OK(PublishRoot(publisher_.Root(2)));
  EXPECT_OK(GetMetadata("2.root.json"));
  EXPECT_GT(SnapshotVersion(), 0);  // from root 1 on
}

TEST_F(AppTest, TargetsNeedTheRootsSignaturesAndDelegateOnlyToTwoParties) {
  EXPECT_THAT(PublishTargets(publisher_.TopTargets(3, {"acme"})),
              StatusIs(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"));
  Publisher stranger(SystemClock().Now());
  EXPECT_THAT(PublishTargets(stranger.TopTargets(2, {"acme"})),
              StatusIs(absl::StatusCode::kInvalidArgument, "THRESHOLD_NOT_MET"));
  // PLUS-1: the authority's key on both sides is one key, thus one party.
  const crypto::PemSigner authority = std::exchange(publisher_.authority, publisher_.manufacturer("acme"));
  EXPECT_THAT(PublishTargets(publisher_.TopTargets(2, {"acme"})),
              StatusIs(absl::StatusCode::kInvalidArgument));
  // Nor is one of the operator's in the authority's place another party.
  publisher_.authority = publisher_.root_keys[0];
  EXPECT_THAT(PublishTargets(publisher_.TopTargets(2, {"acme"})),
              StatusIs(absl::StatusCode::kInvalidArgument, "PARTIES_NOT_DISTINCT"));
  publisher_.authority = authority;
  EXPECT_OK(PublishTargets(publisher_.TopTargets(2, {"acme", "zeta"})));
}

// FOTA-R1
TEST_F(AppTest, AProposalWithAWrongSignatureIsRefused) {
  ASSERT_OK(store_.Upload(kAcme, "acme", Image().content));
  const trust::Targets role = publisher_.Role(1, {Image()});
  // Signed by nobody, by a stranger, by the right key over something else.
  EXPECT_THAT(Propose(kAcme, "acme", role.ToEnvelope().Serialise()),
              StatusIs(absl::StatusCode::kInvalidArgument, "THRESHOLD_NOT_MET"));
  EXPECT_THAT(Propose(kAcme, "acme", publisher_.Sign("zeta", role)),
              StatusIs(absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY"));
  // PLUS-1: the authority's key proposes nothing, whoever brings its signature.
  trust::Envelope by_authority = role.ToEnvelope();
  ASSERT_OK(by_authority.Sign(publisher_.authority));
  EXPECT_THAT(Propose(kAcme, "acme", by_authority.Serialise()),
              StatusIs(absl::StatusCode::kInvalidArgument, "PARTIES_NOT_DISTINCT"));
  const std::string altered =
      absl::StrReplaceAll(publisher_.Sign("acme", role), {{"\"1.0.0\"", "\"6.6.6\""}});
  EXPECT_THAT(Propose(kAcme, "acme", altered),
              StatusIs(absl::StatusCode::kInvalidArgument, "SIGNATURE_INVALID"));
}

TEST_F(AppTest, AProposalMustBeWithinTheManufacturersPathsAndRules) {
  ASSERT_OK(store_.Upload(kAcme, "acme", Image().content));
  const auto refused = [&](const trust::Targets& role, absl::StatusCode code, const std::string& reason) {
    EXPECT_THAT(Propose(role), StatusIs(code, reason));
  };
  ImageSpec foreign = Image();
  foreign.path = "zeta/thermostat/a.bin";
  refused(publisher_.Role(1, {foreign}), absl::StatusCode::kInvalidArgument, "PATH_NOT_ALLOWED");
  foreign.path = "acme/a.bin";
  refused(publisher_.Role(1, {foreign}), absl::StatusCode::kInvalidArgument, "PATH_NOT_ALLOWED");
  refused(publisher_.Role(1, {Image("never uploaded")}), absl::StatusCode::kFailedPrecondition,
          "IMAGE_MISSING");
  trust::Targets wrong_length = publisher_.Role(1, {Image()});
  wrong_length.targets[kPath].length += 1;
  refused(wrong_length, absl::StatusCode::kFailedPrecondition, "LENGTH_MISMATCH");
  refused(publisher_.Role(2, {Image()}), absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT");
  trust::Targets no_counter = publisher_.Role(1, {Image()});
  no_counter.targets[kPath].custom.release_counter.reset();
  refused(no_counter, absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED");
  trust::Targets expired = publisher_.Role(1, {Image()});
  expired.expires = SystemClock().Now() - absl::Seconds(1);
  refused(expired, absl::StatusCode::kInvalidArgument, "EXPIRED_METADATA");
  EXPECT_THAT(Propose(kAcme, "acme", "not JSON"),
              StatusIs(absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED"));
  EXPECT_THAT(Propose(kZeta, "acme", publisher_.Sign("acme", publisher_.Role(1, {Image()}))),
              StatusIs(absl::StatusCode::kPermissionDenied, "NOT_YOUR_MANUFACTURER"));
  EXPECT_THAT(
      Propose({Role::kManufacturer, "nobody"}, "nobody", publisher_.Sign("nobody", publisher_.Role(1, {}))),
      StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_DELEGATED"));
  EXPECT_OK(Propose(kLiaison, "acme", publisher_.Sign("acme", publisher_.Role(1, {Image()}))));
}

TEST_F(AppTest, AnImageOfAnotherManufacturerCannotBeListedWithoutHavingIt) {
  ASSERT_OK(store_.Upload(kZeta, "zeta", Image().content));
  EXPECT_THAT(Propose(publisher_.Role(1, {Image()})),
              StatusIs(absl::StatusCode::kFailedPrecondition, "IMAGE_MISSING"));
  EXPECT_THAT(store_.Download(kAcme, crypto::Sha256Hex(Image().content)),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(store_.Upload(kAcme, "acme", Image().content));
  EXPECT_OK(Propose(publisher_.Role(1, {Image()})));
}

// SC-MA, PLUS-1
TEST_F(AppTest, AnApprovalIsBoundToExactlyTheProposal) {
  const v1::Proposal proposal = ProposeFirst();
  const v1::ApproveProposalRequest good = publisher_.Approve(proposal);
  const auto refused = [&](const v1::ApproveProposalRequest& request, const std::string& reason) {
    EXPECT_THAT(Approve(request), StatusIs(absl::StatusCode::kInvalidArgument, reason));
  };
  // One signature of two.
  v1::ApproveProposalRequest request = good;
  request.clear_signatures();
  refused(request, "THRESHOLD_NOT_MET");
  // The manufacturer's key on both sides.
  request = good;
  request.mutable_signatures(0)->set_key_id(trust::KeyId(publisher_.manufacturer("acme").public_key()));
  refused(request, "PARTIES_NOT_DISTINCT");
  // A key of nobody's.
  request = good;
  request.mutable_signatures(0)->set_key_id(crypto::Sha256Hex("nobody"));
  refused(request, "UNKNOWN_KEY");
  // A signature over other bytes.
  request = good;
  request.mutable_signatures(0)->set_signature(crypto::HexEncode(*publisher_.authority.Sign("other bytes")));
  refused(request, "SIGNATURE_INVALID");
  request.mutable_signatures(0)->set_signature("no hex");
  refused(request, "SIGNATURE_INVALID");
  // No statement, one too many, one of the manufacturer's own.
  request = good;
  request.clear_approval_statements();
  refused(request, "STATEMENT_INVALID");
  request = good;
  request.add_approval_statements(good.approval_statements(0));
  refused(request, "STATEMENT_INVALID");
  request = good;
  request.set_approval_statements(
      0, publisher_.Statement(proposal.changed_targets(0), 1, publisher_.manufacturer("acme")));
  refused(request, "STATEMENT_INVALID");
  // Statements about another digest, path, counter, hardware, role version.
  const auto about = [&](auto change, int64_t role_version) {
    v1::ProposedTarget target = proposal.changed_targets(0);
    change(target);
    v1::ApproveProposalRequest other = good;
    other.set_approval_statements(0, publisher_.Statement(target, role_version, publisher_.authority));
    refused(other, "STATEMENT_INVALID");
  };
  about([](v1::ProposedTarget& target) { target.set_sha256(crypto::Sha256Hex("altered")); }, 1);
  about([](v1::ProposedTarget& target) { target.set_target_path("acme/thermostat/other.bin"); }, 1);
  about([](v1::ProposedTarget& target) { target.set_release_counter(2); }, 1);
  about([](v1::ProposedTarget& target) { target.add_hardware_ids("hw-2"); }, 1);
  about([](v1::ProposedTarget&) {}, 2);

  for (const Identity& other : {kAcme, kOperator, kGateway, kLiaison}) {
    EXPECT_THAT(Approve(good, other), StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
  }
  // Nothing of all that has changed anything.
  EXPECT_EQ(SnapshotVersion(), 1);
  EXPECT_THAT(GetMetadata("1.acme.json"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(Approve(good));
  EXPECT_OK(Approve(good));  // the same request again: answered, not done again
  EXPECT_EQ(SnapshotVersion(), 2);
  EXPECT_THAT(Approve(publisher_.Approve(proposal)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "WRONG_STATE"));
  EXPECT_THAT(Refuse(proposal.name(), "too late"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "WRONG_STATE"));
}

TEST_F(AppTest, ARefusalIsSeenByTheManufacturerWithItsReason) {
  const v1::Proposal proposal = ProposeFirst();
  EXPECT_THAT(Refuse(proposal.name(), ""), StatusIs(absl::StatusCode::kInvalidArgument, "REASON_INVALID"));
  ASSERT_OK(Refuse(proposal.name(), "The image opens a debug port."));
  ASSERT_OK_AND_ASSIGN(const v1::Proposal seen, GetProposal(proposal.name(), kAcme));
  EXPECT_EQ(seen.state(), v1::Proposal::STATE_REFUSED);
  EXPECT_EQ(seen.refusal_reason(), "The image opens a debug port.");
  EXPECT_EQ(seen.decided_by(), "authority/ma");
  EXPECT_TRUE(seen.has_decide_time());
  EXPECT_THAT(GetProposal(proposal.name(), kZeta), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(Approve(publisher_.Approve(proposal)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "WRONG_STATE"));
  EXPECT_THAT(FindTarget(kPath), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(AppTest, ANewerProposalTakesThePlaceOfOneThatWaitsAndListsShowBoth) {
  const v1::Proposal first = ProposeFirst();
  ASSERT_OK(store_.Upload(kAcme, "acme", "another image"));
  ImageSpec other{.path = "acme/lamp/lamp-1.bin", .content = "another image"};
  const std::string request_id = crypto::Uuid();
  const std::string metadata = publisher_.Sign("acme", publisher_.Role(1, {Image(), other}));
  ASSERT_OK_AND_ASSIGN(const v1::Proposal second, Propose(kAcme, "acme", metadata, request_id));
  ASSERT_OK_AND_ASSIGN(const v1::Proposal again, Propose(kAcme, "acme", metadata, request_id));
  EXPECT_EQ(again.name(), second.name());
  EXPECT_THAT(Propose(kAcme, "acme", publisher_.Sign("acme", publisher_.Role(1, {other})), request_id),
              StatusIs(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));

  ASSERT_OK_AND_ASSIGN(const auto all,
                       ListProposals("manufacturers/-", v1::Proposal::STATE_UNSPECIFIED, kAuthority));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name(), first.name());
  EXPECT_EQ(all[0].state(), v1::Proposal::STATE_SUPERSEDED);
  EXPECT_EQ(all[1].changed_targets_size(), 2);
  ASSERT_OK_AND_ASSIGN(const auto waiting,
                       ListProposals("manufacturers/acme", v1::Proposal::STATE_AWAITING_APPROVAL, kAcme));
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting[0].name(), second.name());
  EXPECT_THAT(ListProposals("manufacturers/-", v1::Proposal::STATE_UNSPECIFIED, kZeta),
              IsOkAndHolds(::testing::IsEmpty()));
  EXPECT_THAT(ListProposals("manufacturers/acme", v1::Proposal::STATE_UNSPECIFIED, kZeta),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

// The image of a release that falls behind is refused, also when the higher one is gone meanwhile.
TEST_F(AppTest, AReleaseCounterNeverFallsAndAPublishedPathKeepsItsBytes) {
  ImageSpec high = Image();
  high.release_counter = 5;
  publisher_.PublishImages(store_, "acme", {high});
  ASSERT_OK(store_.Upload(kAcme, "acme", "older"));
  ImageSpec low{.path = "acme/thermostat/thermostat-0.9.bin", .content = "older", .release_counter = 4};
  EXPECT_THAT(Propose(publisher_.Role(2, {high, low})),
              StatusIs(absl::StatusCode::kFailedPrecondition, "RELEASE_COUNTER_FELL"));
  EXPECT_THAT(Propose(publisher_.Role(2, {low})),
              StatusIs(absl::StatusCode::kFailedPrecondition, "RELEASE_COUNTER_FELL"));
  // Whatever the hardware.
  ImageSpec elsewhere = low;
  elsewhere.hardware_ids = {"hw-9"};
  EXPECT_THAT(Propose(publisher_.Role(2, {high, elsewhere})),
              StatusIs(absl::StatusCode::kFailedPrecondition, "RELEASE_COUNTER_FELL"));
  ImageSpec altered = high;
  altered.content = "older";
  EXPECT_THAT(Propose(publisher_.Role(2, {altered})),
              StatusIs(absl::StatusCode::kFailedPrecondition, "TARGET_CHANGED"));
  low.release_counter = 5;
  ASSERT_OK_AND_ASSIGN(const v1::Proposal proposal, Propose(publisher_.Role(2, {low})));
  ASSERT_OK(Approve(publisher_.Approve(proposal)));
  // What the new version does not list any more is no package any more, and its image is not for gateways.
  EXPECT_THAT(GetPackage(kPath, kRollout), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_.Download(kGateway, crypto::Sha256Hex(high.content)),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(FindTarget(kPath), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(FindTarget(low.path));
}

// A stolen manufacturer key: revoked through `targets`.
TEST_F(AppTest, PackagesOfARevokedKeyAreWithdrawnUntilBothPartiesSignThemAgain) {
  publisher_.PublishImages(store_, "acme", {Image()});
  Publisher other(SystemClock().Now());
  other.authority = publisher_.authority;
  other.targets_key = publisher_.targets_key;
  ASSERT_OK(PublishTargets(other.TopTargets(2, {"acme", "zeta"})));
  EXPECT_THAT(GetPackage(kPath, kRollout), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(FindTarget(kPath).ok());
  EXPECT_THAT(Propose(publisher_.Role(2, {Image()})),
              StatusIs(absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY"));
  ASSERT_OK_AND_ASSIGN(const v1::Proposal proposal,
                       Propose(kAcme, "acme", other.Sign("acme", publisher_.Role(2, {Image()}))));
  EXPECT_EQ(proposal.changed_targets_size(), 1);
  ASSERT_OK(Approve(other.Approve(proposal)));
  EXPECT_OK(GetPackage(kPath, kRollout));
  EXPECT_OK(FindTarget(kPath));
}

TEST_F(AppTest, PackagesAreListedInPagesAndAManufacturerSeesItsOwn) {
  publisher_.PublishImages(store_, "acme", {Image(), {.path = "acme/lamp/l.bin", .content = "lamp"}});
  publisher_.PublishImages(store_, "zeta", {{.path = "zeta/door/d.bin", .content = "door"}});
  const auto list = [&](const std::string& parent, const Identity& as) {
    v1::ListPackagesRequest request;
    request.set_parent(parent);
    request.set_page_size(1);
    std::vector<std::string> paths;
    do {
      v1::ListPackagesResponse page;
      rpc::CallContext context(absl::Seconds(30));
      EXPECT_OK(rpc::FromGrpc(store_.Stub(as).ListPackages(context.get(), request, &page)));
      for (const v1::Package& package : page.packages()) paths.push_back(package.target_path());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return paths;
  };
  EXPECT_THAT(list("manufacturers/-", kOperator),
              ::testing::ElementsAre("acme/lamp/l.bin", kPath, "zeta/door/d.bin"));
  EXPECT_THAT(list("manufacturers/acme", kRollout), ::testing::ElementsAre("acme/lamp/l.bin", kPath));
  EXPECT_THAT(list("manufacturers/-", kZeta), ::testing::ElementsAre("zeta/door/d.bin"));
  EXPECT_THAT(GetPackage(kPath, kZeta), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(AppTest, AWatcherGetsWhatIsPublishedAndGoesOnFromItsToken) {
  publisher_.PublishImages(store_, "acme", {Image()});
  auto stub = store_.As(kRollout);
  std::string token;
  {
    rpc::CallContext context(absl::Seconds(60));
    v1::WatchPackagesRequest request;
    const auto stream = stub->WatchPackages(context.get(), request);
    v1::WatchPackagesResponse response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.package().target_path(), kPath);
    token = response.resume_token();
    publisher_.PublishImages(store_, "zeta", {{.path = "zeta/door/d.bin", .content = "door"}});
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.package().target_path(), "zeta/door/d.bin");
    context->TryCancel();
  }
  rpc::CallContext context(absl::Seconds(60));
  v1::WatchPackagesRequest request;
  request.set_resume_token(token);
  const auto stream = stub->WatchPackages(context.get(), request);
  v1::WatchPackagesResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.package().target_path(), "zeta/door/d.bin");
  context->TryCancel();
}

TEST_F(AppTest, DownloadsGiveTheBytesThatAreAskedFor) {
  std::string content = crypto::RandomBytes(700'000);
  publisher_.PublishImages(store_, "acme", {Image(content)});
  const std::string sha256 = crypto::Sha256Hex(content);
  EXPECT_THAT(store_.Download(kGateway, sha256), IsOkAndHolds(content));
  EXPECT_THAT(store_.Download(kGateway, sha256, 262'143, 262'146),
              IsOkAndHolds(content.substr(262'143, 262'146)));
  EXPECT_THAT(store_.Download(kGateway, sha256, 699'999, 5), IsOkAndHolds(content.substr(699'999)));
  EXPECT_THAT(store_.Download(kGateway, sha256, 700'000),
              StatusIs(absl::StatusCode::kOutOfRange, "RANGE_INVALID"));
  EXPECT_THAT(store_.Download(kGateway, sha256, -1),
              StatusIs(absl::StatusCode::kInvalidArgument, "RANGE_INVALID"));
  EXPECT_THAT(store_.Download(kGateway, "../../etc/passwd"),
              StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID"));
  EXPECT_THAT(store_.Download({Role::kCse, "cse"}, sha256), StatusIs(absl::StatusCode::kPermissionDenied));
}

class WorkerTest : public AppTest {
 protected:
  WorkerTest() : clock_(SystemClock().Now()) {}
  void TearDown() override { store_.app().Stop(); }  // while there is a clock
  void Configure(Config& config) override {
    config.clock = &clock_;
    config.renewal_interval = absl::Milliseconds(5);
    config.cleanup_interval = absl::Milliseconds(5);
  }
  // Waits until the metrics have `line`.
  std::string MetricsWith(const std::string& line) {
    std::string metrics = store_.HttpGet("/metrics");
    while (!absl::StrContains(metrics, line)) metrics = store_.HttpGet("/metrics");
    return metrics;
  }
  FakeClock clock_;
};

TEST_F(WorkerTest, MetadataIsKeptFreshAndItsExpiryIsShown) {
  publisher_.PublishImages(store_, "acme", {Image()});
  // The counts come later in the round than the expiries: those of the round before may be there still.
  MetricsWith("countersign_package_store_metadata_expiry_seconds{role=\"delegated\"}");
  std::string metrics = MetricsWith("countersign_package_store_proposals{state=\"approved\"} 1");
  for (const std::string role : {"root", "targets", "snapshot", "timestamp", "delegated"}) {
    EXPECT_THAT(metrics, ::testing::HasSubstr(absl::StrCat(
                             "countersign_package_store_metadata_expiry_seconds{role=\"", role, "\"}")));
  }
  EXPECT_THAT(
      metrics,
      ::testing::Not(::testing::HasSubstr("countersign_package_store_renewals_total{role=\"timestamp\"}")));
  clock_.Advance(absl::Hours(13));
  MetricsWith("countersign_package_store_renewals_total{role=\"timestamp\"} 1");
  clock_.Advance(absl::Hours(24 * 4));
  MetricsWith("countersign_package_store_renewals_total{role=\"snapshot\"} 1");
  EXPECT_EQ(SnapshotVersion(), 3);
}

class FilesTest : public AppTest {
 protected:
  FilesTest() : clock_(SystemClock().Now()) {}
  void TearDown() override { store_.app().Stop(); }  // while there is a clock
  void Configure(Config& config) override { config.clock = &clock_; }
  FakeClock clock_;
};

TEST_F(FilesTest, NumberedFilesAreServedFromMemoryForAMinuteAndTheTimestampNever) {
  const absl::StatusOr<std::string> root = GetMetadata("1.root.json");
  ASSERT_OK(root);
  ASSERT_OK(GetMetadata("timestamp.json"));
  pqxx::connection connection(store_.config().database);
  pqxx::nontransaction(connection).exec("UPDATE metadata_files SET content = 'of a backup'");
  EXPECT_THAT(GetMetadata("timestamp.json"), IsOkAndHolds("of a backup"));
  EXPECT_THAT(GetMetadata("1.root.json"), IsOkAndHolds(*root));
  clock_.Advance(absl::Seconds(61));
  EXPECT_THAT(GetMetadata("1.root.json"), IsOkAndHolds("of a backup"));
}

class UploadTest : public AppTest {
 protected:
  void Configure(Config& config) override { config.quota_bytes = 3'000'000; }

  absl::StatusOr<v1::Upload> Create(int64_t length, const std::string& sha256, const Identity& as = kAcme) {
    v1::CreateUploadRequest request;
    request.set_parent("manufacturers/acme");
    request.mutable_upload()->set_length_bytes(length);
    request.mutable_upload()->set_sha256(sha256);
    v1::Upload upload;
    rpc::CallContext context(absl::Seconds(30));
    absl::Status status = rpc::FromGrpc(store_.Stub(as).CreateUpload(context.get(), request, &upload));
    if (!status.ok()) return status;
    return upload;
  }
  absl::StatusOr<v1::Upload> Get(const std::string& name, const Identity& as = kAcme) {
    v1::GetUploadRequest request;
    request.set_name(name);
    v1::Upload upload;
    rpc::CallContext context(absl::Seconds(30));
    absl::Status status = rpc::FromGrpc(store_.Stub(as).GetUpload(context.get(), request, &upload));
    if (!status.ok()) return status;
    return upload;
  }
  // One stream with one message; `finish` ends it in order, else it is cut.
  absl::StatusOr<v1::Upload> Write(const std::string& name, int64_t offset, const std::string& data,
                                   const Identity& as = kAcme) {
    rpc::CallContext context(absl::Seconds(30));
    v1::Upload upload;
    const auto writer = store_.Stub(as).WriteUpload(context.get(), &upload);
    v1::WriteUploadRequest chunk;
    chunk.set_name(name);
    chunk.set_offset(offset);
    chunk.set_data(data);
    writer->Write(chunk);
    writer->WritesDone();
    absl::Status status = rpc::FromGrpc(writer->Finish());
    if (!status.ok()) return status;
    return upload;
  }
};

TEST_F(UploadTest, AnUploadThatIsCutGoesOnWhereItStands) {
  const std::string content = crypto::RandomBytes(1'000'000);
  const std::string sha256 = crypto::Sha256Hex(content);
  ASSERT_OK_AND_ASSIGN(const v1::Upload created, Create(content.size(), sha256));
  EXPECT_EQ(created.state(), v1::Upload::STATE_ACTIVE);
  const size_t cut = 1 + crypto::RandomBytes(1)[0] % 100 + 400'000;
  ASSERT_OK_AND_ASSIGN(const v1::Upload half, Write(created.name(), 0, content.substr(0, cut)));
  EXPECT_EQ(half.committed_bytes(), static_cast<int64_t>(cut));
  store_.Restart();
  ASSERT_OK_AND_ASSIGN(const v1::Upload found, Get(created.name()));
  EXPECT_EQ(found.committed_bytes(), static_cast<int64_t>(cut));
  const absl::Status elsewhere = Write(created.name(), 0, content.substr(0, 10)).status();
  EXPECT_THAT(elsewhere, StatusIs(absl::StatusCode::kOutOfRange, "OFFSET_MISMATCH"));
  EXPECT_EQ(ErrorInfoOf(elsewhere)->metadata.at("committed_bytes"), absl::StrCat(cut));
  ASSERT_OK_AND_ASSIGN(const v1::Upload complete, Write(created.name(), cut, content.substr(cut)));
  EXPECT_EQ(complete.state(), v1::Upload::STATE_COMPLETE);
  EXPECT_THAT(store_.Download(kAcme, sha256), IsOkAndHolds(content));
  ASSERT_OK_AND_ASSIGN(const v1::Upload again, Create(content.size(), sha256));
  EXPECT_EQ(again.state(), v1::Upload::STATE_COMPLETE);
}

TEST_F(UploadTest, AClientThatVanishesLeavesWhatHasComeAndANewStreamTakesOver) {
  const std::string content = crypto::RandomBytes(600'000);
  ASSERT_OK_AND_ASSIGN(const v1::Upload created, Create(content.size(), crypto::Sha256Hex(content)));
  rpc::CallContext context(absl::Seconds(30));
  v1::Upload upload;
  auto vanishing = store_.Stub(kAcme).WriteUpload(context.get(), &upload);
  v1::WriteUploadRequest chunk;
  chunk.set_name(created.name());
  chunk.set_data(content.substr(0, 200'000));
  ASSERT_TRUE(vanishing->Write(chunk));
  absl::StatusOr<v1::Upload> found = Get(created.name());
  while (found.ok() && found->committed_bytes() < 200'000) found = Get(created.name());
  ASSERT_OK(found);
  // The first stream is still open.
  ASSERT_OK_AND_ASSIGN(const v1::Upload complete, Write(created.name(), 200'000, content.substr(200'000)));
  EXPECT_EQ(complete.state(), v1::Upload::STATE_COMPLETE);
  chunk.set_offset(200'000);
  vanishing->Write(chunk);
  vanishing->WritesDone();
  EXPECT_THAT(rpc::FromGrpc(vanishing->Finish()), StatusIs(absl::StatusCode::kAborted, "UPLOAD_TAKEN_OVER"));
}

// FOTA-R1
TEST_F(UploadTest, BytesThatAreNotTheAnnouncedOnesAreNotStored) {
  const std::string content = "what was announced";
  ASSERT_OK_AND_ASSIGN(const v1::Upload created, Create(content.size(), crypto::Sha256Hex(content)));
  EXPECT_THAT(Write(created.name(), 0, "what was announceD"),
              StatusIs(absl::StatusCode::kInvalidArgument, "DIGEST_MISMATCH"));
  ASSERT_OK_AND_ASSIGN(const v1::Upload empty, Get(created.name()));
  EXPECT_EQ(empty.committed_bytes(), 0);
  EXPECT_THAT(Write(created.name(), 0, content + "!"),
              StatusIs(absl::StatusCode::kInvalidArgument, "LENGTH_EXCEEDED"));
  EXPECT_THAT(Write(created.name(), 0, ""), StatusIs(absl::StatusCode::kInvalidArgument, "CHUNK_INVALID"));
  ASSERT_OK_AND_ASSIGN(const v1::Upload complete, Write(created.name(), 0, content));
  EXPECT_EQ(complete.state(), v1::Upload::STATE_COMPLETE);
  // The repetition of a stream whose answer was lost learns that there is nothing left to send.
  EXPECT_THAT(Write(created.name(), 0, content), StatusIs(absl::StatusCode::kOutOfRange, "OFFSET_MISMATCH"));
  EXPECT_THAT(Create(content.size() + 1, crypto::Sha256Hex(content)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "LENGTH_MISMATCH"));
}

TEST_F(UploadTest, AQuotaHoldsForWhatIsStoredAndWhatIsAnnounced) {
  ASSERT_OK(store_.Upload(kAcme, "acme", std::string(1'000'000, 'x')));
  ASSERT_OK(Create(2'000'000, crypto::Sha256Hex("announced")));
  EXPECT_THAT(Create(1, crypto::Sha256Hex("one more")),
              StatusIs(absl::StatusCode::kResourceExhausted, "QUOTA_EXCEEDED"));
  EXPECT_OK(Create(2'000'000, crypto::Sha256Hex("announced")));
  EXPECT_OK(store_.Upload(kZeta, "zeta", "zeta has its own quota"));
  EXPECT_THAT(Create(0, crypto::Sha256Hex("")),
              StatusIs(absl::StatusCode::kInvalidArgument, "LENGTH_INVALID"));
}

TEST_F(UploadTest, AnUploadIsItsManufacturersAlone) {
  ASSERT_OK_AND_ASSIGN(const v1::Upload created, Create(3, crypto::Sha256Hex("abc"), kLiaison));
  EXPECT_THAT(Create(3, crypto::Sha256Hex("abc"), kZeta),
              StatusIs(absl::StatusCode::kPermissionDenied, "NOT_YOUR_MANUFACTURER"));
  EXPECT_THAT(Get(created.name(), kZeta),
              StatusIs(absl::StatusCode::kPermissionDenied, "NOT_YOUR_MANUFACTURER"));
  EXPECT_THAT(Write(created.name(), 0, "abc", kZeta),
              StatusIs(absl::StatusCode::kPermissionDenied, "NOT_YOUR_MANUFACTURER"));
  EXPECT_THAT(Write(created.name(), 0, "abc", kRollout),
              StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
  EXPECT_THAT(Get(absl::StrCat("manufacturers/acme/uploads/", crypto::Sha256Hex("unknown"))),
              StatusIs(absl::StatusCode::kNotFound, "UPLOAD_NOT_FOUND"));
  EXPECT_OK(Write(created.name(), 0, "abc", kLiaison));
}

// Two replicas on one database: whatever they publish at once, no version is given twice and clients follow.
TEST_F(AppTest, TwoReplicasThatPublishAtOnceGiveNoVersionTwice) {
  TestStore second(&Pki(), store_.config().database, store_.config().blob_dir);
  second.Start(publisher_);
  const int64_t before = SnapshotVersion();
  constexpr int kRounds = 8;
  Publisher acme = publisher_;
  Publisher zeta = publisher_;
  const auto publish = [](Publisher& publisher, TestStore& store, const std::string& id) {
    for (int i = 1; i <= kRounds; ++i) {
      publisher.PublishImages(store, id,
                              {{.path = absl::StrCat(id, "/lamp/l-", i, ".bin"),
                                .content = absl::StrCat(id, i),
                                .release_counter = i}});
    }
  };
  std::thread first([&] { publish(acme, store_, "acme"); });
  publish(zeta, second, "zeta");
  first.join();
  EXPECT_EQ(SnapshotVersion(), before + 2 * kRounds);
  for (int i = 1; i <= kRounds; ++i) {
    EXPECT_OK(FindTarget(absl::StrCat("acme/lamp/l-", i, ".bin")));
    EXPECT_OK(FindTarget(absl::StrCat("zeta/lamp/l-", i, ".bin")));
  }
}

TEST_F(AppTest, TwoApprovalsOfOneProposalAtOncePublishItOnce) {
  TestStore second(&Pki(), store_.config().database, store_.config().blob_dir);
  second.Start(publisher_);
  const v1::Proposal proposal = ProposeFirst();
  absl::Status statuses[2];
  const auto approve = [&](TestStore& store, absl::Status& status) {
    v1::Proposal approved;
    rpc::CallContext context(absl::Seconds(30));
    status = rpc::FromGrpc(
        store.Stub(kAuthority).ApproveProposal(context.get(), publisher_.Approve(proposal), &approved));
  };
  std::thread other([&] { approve(second, statuses[1]); });
  approve(store_, statuses[0]);
  other.join();
  EXPECT_NE(statuses[0].ok(), statuses[1].ok());
  EXPECT_THAT(statuses[0].ok() ? statuses[1] : statuses[0],
              StatusIs(absl::StatusCode::kFailedPrecondition, "WRONG_STATE"));
  EXPECT_EQ(SnapshotVersion(), 2);
}

}  // namespace
}  // namespace countersign::package_store
