#include "services/liaison/app.h"

#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/db/testing/test_cluster.h"
#include "common/file/file.h"
#include "common/metrics/metrics.h"
#include "common/rpc/channel.h"
#include "common/rpc/testing/test_server.h"
#include "common/testing/status_matchers.h"
#include "countersign/liaison/v1/liaison.grpc.pb.h"
#include "countersign/manufacturer/v1/manufacturer.grpc.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "services/package_store/testing/publisher.h"

namespace countersign::liaison {
namespace {

using package_store::testing::ImageSpec;
using package_store::testing::Publisher;
using package_store::testing::TestStore;
using rpc::Identity;
using rpc::Role;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
namespace mv1 = ::countersign::manufacturer::v1;
namespace ps = ::countersign::package_store::v1;

const Identity kAcme{Role::kManufacturer, "acme"};
const Identity kZeta{Role::kManufacturer, "zeta"};
const Identity kOperator{Role::kOperator, "op"};
const Identity kAuthority{Role::kAuthority, "ma"};
const Identity kGateway{Role::kGateway, "gw-1"};

rpc::testing::TestPki& Pki() {
  static auto& pki = *new rpc::testing::TestPki();
  return pki;
}

std::string PathOf(const std::string& manufacturer, int64_t counter) {
  return absl::StrCat(manufacturer, "/lamp/lamp-", counter, ".bin");
}

// Everything that a release has to say.
common::v1::ReleaseInfo Info(const std::string& manufacturer, int64_t counter, const std::string& content) {
  common::v1::ReleaseInfo info;
  info.set_version(absl::StrCat(counter, ".0.0"));
  info.set_version_format(common::v1::VERSION_FORMAT_TRIPLET);
  info.set_release_counter(counter);
  info.add_models("L1");
  info.add_hardware_ids("hw-1");
  info.mutable_image()->set_target_path(PathOf(manufacturer, counter));
  info.mutable_image()->set_length_bytes(content.size());
  info.mutable_image()->set_sha256(crypto::Sha256Hex(content));
  info.set_criticality(common::v1::CRITICALITY_HIGH);
  info.set_kind(common::v1::UPDATE_KIND_SECURITY);
  info.mutable_advisory()->add_ids("CVE-2026-1");
  info.mutable_advisory()->set_risk("Anyone in radio range can switch the lamp.");
  info.mutable_advisory()->set_action("Install the update.");
  common::v1::UserNotice& notice = *info.add_notices();
  notice.set_language("en");
  notice.set_purpose("Closes a weakness.");
  notice.set_changes("Nothing that you see.");
  notice.mutable_install_duration()->set_seconds(60);
  notice.set_unavailable_functions("The light stays off.");
  notice.set_instructions("Leave the lamp connected.");
  info.mutable_terms()->set_id("terms");
  info.mutable_terms()->set_version("1");
  info.mutable_terms()->set_language("en");
  info.mutable_terms()->set_text("As is.");
  info.mutable_terms()->set_text_sha256(crypto::Sha256Hex("As is."));
  return info;
}

// What a manufacturer runs: offers what a test tells it to, truly or not.
class OemBackend final : public mv1::ManufacturerService::Service {
 public:
  using Writer = grpc::ServerWriter<mv1::DownloadImageResponse>;

  explicit OemBackend(const Identity& identity) {
    const rpc::TlsOptions tls = Pki().TlsFor(identity);
    grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = *ReadFile(tls.ca_file);
    options.pem_key_cert_pairs.push_back({*ReadFile(tls.key_file), *ReadFile(tls.certificate_file)});
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~OemBackend() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  void Offer(const std::string& id, const common::v1::ReleaseInfo& info) {
    absl::MutexLock lock(&mutex_);
    offered_[id] = info;
  }
  void TakeBack(const std::string& id) {
    absl::MutexLock lock(&mutex_);
    offered_.erase(id);
  }
  // The bytes that come for `sha256`.
  // Says nothing when it is asked for images.
  void FallSilent() { silent_ = true; }
  void Give(const std::string& sha256, const std::string& content, bool for_ever = false) {
    absl::MutexLock lock(&mutex_);
    images_[sha256] = {content, for_ever};
  }
  void OfferTrue(const std::string& id, const common::v1::ReleaseInfo& info, const std::string& content) {
    Give(info.image().sha256(), content);
    Offer(id, info);
  }
  void SetRole(const std::string& metadata) {
    absl::MutexLock lock(&mutex_);
    role_ = metadata;
  }
  std::vector<mv1::ReceiveNoticeRequest> notices() {
    absl::MutexLock lock(&mutex_);
    return notices_;
  }

 private:
  struct Image {
    std::string content;
    bool for_ever = false;
  };

  grpc::Status ListReleases(grpc::ServerContext*, const mv1::ListReleasesRequest& request,
                            mv1::ListReleasesResponse* response) {
    absl::MutexLock lock(&mutex_);
    // A page has one, so that pages are asked for.
    const auto next = offered_.upper_bound(request.page_token());
    if (next == offered_.end()) return grpc::Status::OK;
    mv1::OfferedRelease& release = *response->add_releases();
    release.set_release_id(next->first);
    *release.mutable_info() = next->second;
    if (std::next(next) != offered_.end()) response->set_next_page_token(next->first);
    return grpc::Status::OK;
  }
  grpc::Status ListReleases(grpc::ServerContext* context, const mv1::ListReleasesRequest* request,
                            mv1::ListReleasesResponse* response) override {
    return ListReleases(context, *request, response);
  }
  grpc::Status GetRoleMetadata(grpc::ServerContext*, const mv1::GetRoleMetadataRequest*,
                               mv1::GetRoleMetadataResponse* response) override {
    absl::MutexLock lock(&mutex_);
    if (role_.empty()) return {grpc::StatusCode::NOT_FOUND, "nothing is signed yet"};
    response->set_metadata(role_);
    return grpc::Status::OK;
  }
  grpc::Status DownloadImage(grpc::ServerContext* context, const mv1::DownloadImageRequest* request,
                             Writer* writer) override {
    while (silent_) {
      if (context->IsCancelled()) return grpc::Status::CANCELLED;
      std::this_thread::yield();
    }
    Image image;
    {
      absl::MutexLock lock(&mutex_);
      const auto found = images_.find(request->sha256());
      if (found == images_.end()) return {grpc::StatusCode::NOT_FOUND, "there is no such image"};
      image = found->second;
    }
    mv1::DownloadImageResponse response;
    response.set_data(image.content.substr(request->offset()));
    do {
      if (!writer->Write(response)) break;
    } while (image.for_ever);
    return grpc::Status::OK;
  }
  grpc::Status ReceiveNotice(grpc::ServerContext*, const mv1::ReceiveNoticeRequest* request,
                             mv1::ReceiveNoticeResponse*) override {
    absl::MutexLock lock(&mutex_);
    notices_.push_back(*request);
    return grpc::Status::OK;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::atomic<bool> silent_ = false;
  absl::Mutex mutex_;
  std::map<std::string, common::v1::ReleaseInfo> offered_;
  std::map<std::string, Image> images_;
  std::string role_;
  std::vector<mv1::ReceiveNoticeRequest> notices_;
};

class AppTest : public ::testing::Test {
 protected:
  AppTest() : publisher_(SystemClock().Now()), images_(&Pki()) {}

  void SetUp() override {
    images_.Start(publisher_);
    publisher_.PublishAll(images_, {"acme", "zeta"});
    Config config;
    config.server.tls = Pki().TlsFor({Role::kService, "liaison"});
    config.server.registry = &registry_;
    config.server.threads = 4;
    config.server.grace = absl::Seconds(5);
    config.database = db::TestCluster::Shared().CreateDatabase();
    config.package_store_address = images_.address();
    config.poll_interval = absl::Milliseconds(20);
    config.notice_retry = absl::Milliseconds(100);
    Configure(config);
    ASSERT_OK_AND_ASSIGN(app_, App::Start(config));
  }
  virtual void Configure(Config&) {}

  v1::LiaisonService::Stub& Stub(const Identity& identity) {
    auto& stub = stubs_[identity.ToString()];
    if (stub == nullptr) {
      stub = v1::LiaisonService::NewStub(
          rpc::Dialer(Pki().TlsFor(identity))
              .Dial(absl::StrCat("127.0.0.1:", app_->grpc_port()), {Role::kService, "liaison"}));
    }
    return *stub;
  }
  template <typename Request, typename Response>
  using Method = grpc::Status (v1::LiaisonService::Stub::*)(grpc::ClientContext*, const Request&, Response*);
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(const Identity& as, Method<Request, Response> method,
                                const Request& request) {
    Response response;
    rpc::CallContext context(absl::Seconds(30));
    const absl::Status status = rpc::FromGrpc((Stub(as).*method)(context.get(), request, &response));
    if (!status.ok()) return status;
    return response;
  }

  absl::StatusOr<v1::Manufacturer> Add(const std::string& id, const std::string& backend = "") {
    v1::CreateManufacturerRequest request;
    request.mutable_manufacturer()->set_name(absl::StrCat("manufacturers/", id));
    request.mutable_manufacturer()->set_display_name(id);
    request.mutable_manufacturer()->set_channel(backend.empty() ? v1::Manufacturer::CHANNEL_PUSH
                                                                : v1::Manufacturer::CHANNEL_BACKEND);
    request.mutable_manufacturer()->set_backend_address(backend);
    request.set_request_id(crypto::Uuid());
    return Call(kOperator, &v1::LiaisonService::Stub::CreateManufacturer, request);
  }
  absl::StatusOr<v1::Release> Announce(const Identity& as, const std::string& name,
                                       const common::v1::ReleaseInfo& info) {
    v1::CreateReleaseRequest request;
    request.mutable_release()->set_name(name);
    *request.mutable_release()->mutable_info() = info;
    request.set_request_id(crypto::Uuid());
    return Call(as, &v1::LiaisonService::Stub::CreateRelease, request);
  }
  absl::StatusOr<v1::Release> GetRelease(const std::string& name, const Identity& as = kOperator) {
    v1::GetReleaseRequest request;
    request.set_name(name);
    return Call(as, &v1::LiaisonService::Stub::GetRelease, request);
  }
  v1::Release::State StateOf(const std::string& name) {
    const auto release = GetRelease(name);
    return release.ok() ? release->state() : v1::Release::STATE_UNSPECIFIED;
  }
  v1::Manufacturer GetManufacturer(const std::string& id) {
    v1::GetManufacturerRequest request;
    request.set_name(absl::StrCat("manufacturers/", id));
    const auto manufacturer = Call(kOperator, &v1::LiaisonService::Stub::GetManufacturer, request);
    EXPECT_OK(manufacturer.status());
    return manufacturer.ok() ? *manufacturer : v1::Manufacturer();
  }
  // The manufacturer once its backend has been asked, as the operator waits for it.
  v1::Manufacturer AwaitRefresh(const std::string& id) {
    while (true) {
      const v1::Manufacturer manufacturer = GetManufacturer(id);
      if (manufacturer.last_refresh_state() == v1::Manufacturer::REFRESH_STATE_SUCCEEDED ||
          manufacturer.last_refresh_state() == v1::Manufacturer::REFRESH_STATE_FAILED) {
        return manufacturer;
      }
      std::this_thread::yield();
    }
  }
  v1::Manufacturer Refresh(const std::string& id) {
    v1::RefreshManufacturerRequest request;
    request.set_name(absl::StrCat("manufacturers/", id));
    request.set_request_id(crypto::Uuid());
    const auto asked = Call(kOperator, &v1::LiaisonService::Stub::RefreshManufacturer, request);
    EXPECT_OK(asked.status());
    EXPECT_EQ(asked->last_refresh_state(), v1::Manufacturer::REFRESH_STATE_RUNNING);
    return AwaitRefresh(id);
  }
  absl::StatusOr<v1::FindUpdatesResponse> FindUpdates(const std::string& model, int64_t counter,
                                                      const std::string& hardware = "hw-1") {
    v1::FindUpdatesRequest request;
    v1::InstalledComponent& component = *request.add_components();
    component.set_ecu_serial("ecu-1");
    component.set_manufacturer("acme");
    component.set_model(model);
    component.set_hardware_id(hardware);
    component.set_version("1.0.0");
    component.set_release_counter(counter);
    return Call(kGateway, &v1::LiaisonService::Stub::FindUpdates, request);
  }
  absl::StatusOr<v1::Notice> Notify(const std::string& manufacturer) {
    v1::CreateNoticeRequest request;
    request.set_parent(absl::StrCat("manufacturers/", manufacturer));
    request.mutable_notice()->set_kind(v1::Notice::KIND_BREACH);
    request.mutable_notice()->add_models("L1");
    request.mutable_notice()->set_text("Keys of L1 are traded.");
    request.set_request_id(crypto::Uuid());
    return Call(kOperator, &v1::LiaisonService::Stub::CreateNotice, request);
  }
  absl::StatusOr<v1::ListNoticesResponse> ListNotices(const Identity& as, const std::string& manufacturer) {
    v1::ListNoticesRequest request;
    request.set_parent(absl::StrCat("manufacturers/", manufacturer));
    return Call(as, &v1::LiaisonService::Stub::ListNotices, request);
  }
  v1::Notice::State NoticeState(const std::string& manufacturer) {
    const auto listed = ListNotices(kOperator, manufacturer);
    EXPECT_OK(listed.status());
    return listed->notices(0).state();
  }
  std::vector<ps::Proposal> Proposals() {
    ps::ListProposalsRequest request;
    request.set_parent("manufacturers/acme");
    ps::ListProposalsResponse response;
    rpc::CallContext context(absl::Seconds(30));
    EXPECT_OK(rpc::FromGrpc(images_.Stub(kAuthority).ListProposals(context.get(), request, &response)));
    return {response.proposals().begin(), response.proposals().end()};
  }
  std::string RoleFor(int64_t version, const std::vector<std::string>& contents) {
    std::vector<ImageSpec> images;
    int64_t counter = 0;
    for (const std::string& content : contents) {
      ++counter;
      images.push_back({.path = PathOf("acme", counter),
                        .content = content,
                        .version = absl::StrCat(counter, ".0.0"),
                        .release_counter = counter});
    }
    return publisher_.Sign("acme", publisher_.Role(version, images));
  }

  metrics::Registry registry_;
  Publisher publisher_;
  TestStore images_;
  std::unique_ptr<App> app_;
  std::map<std::string, std::unique_ptr<v1::LiaisonService::Stub>> stubs_;
};

std::string Release(const std::string& id) { return absl::StrCat("manufacturers/acme/releases/", id); }

// HOME-4, HOME-5
TEST_F(AppTest, AManufacturerPushesWhatTheStoreHasAndAGatewayFindsIt) {
  ASSERT_OK(Add("acme").status());
  const common::v1::ReleaseInfo info = Info("acme", 2, "image 2");
  EXPECT_THAT(Announce(kAcme, Release("lamp-2"), info),
              StatusIs(absl::StatusCode::kFailedPrecondition, "IMAGE_MISSING"));
  ASSERT_OK(images_.Upload(kAcme, "acme", "image 2").status());
  common::v1::ReleaseInfo wrong_length = info;
  wrong_length.mutable_image()->set_length_bytes(8);
  EXPECT_THAT(Announce(kAcme, Release("lamp-2"), wrong_length),
              StatusIs(absl::StatusCode::kInvalidArgument, "RELEASE_INVALID"));
  ASSERT_OK_AND_ASSIGN(const v1::Release announced, Announce(kAcme, Release("lamp-2"), info));
  EXPECT_EQ(announced.state(), v1::Release::STATE_AVAILABLE);
  EXPECT_EQ(announced.info().SerializeAsString(), info.SerializeAsString());
  EXPECT_EQ(GetRelease(Release("lamp-2"), kGateway)->SerializeAsString(), announced.SerializeAsString());

  ASSERT_OK(images_.Upload(kAcme, "acme", "image 1").status());
  EXPECT_THAT(Announce(kAcme, Release("lamp-1"), Info("acme", 1, "image 1")),
              StatusIs(absl::StatusCode::kFailedPrecondition, "RELEASE_COUNTER_FELL"));

  ASSERT_OK_AND_ASSIGN(const v1::FindUpdatesResponse found, FindUpdates("L1", 1));
  ASSERT_EQ(found.updates_size(), 1);
  EXPECT_EQ(found.updates(0).ecu_serial(), "ecu-1");
  EXPECT_EQ(found.updates(0).release().name(), Release("lamp-2"));
  EXPECT_EQ(FindUpdates("L1", 2)->updates_size(), 0);
  EXPECT_EQ(FindUpdates("L2", 1)->updates_size(), 0);
  EXPECT_EQ(FindUpdates("L1", 1, "hw-2")->updates_size(), 0);
}

TEST_F(AppTest, AManufacturerTouchesItsOwnOnly) {
  ASSERT_OK(Add("acme").status());
  ASSERT_OK(Add("zeta").status());
  ASSERT_OK(images_.Upload(kAcme, "acme", "image").status());
  const common::v1::ReleaseInfo info = Info("acme", 1, "image");
  EXPECT_THAT(Announce(kZeta, Release("lamp-1"), info),
              StatusIs(absl::StatusCode::kPermissionDenied, "NOT_YOURS"));
  ASSERT_OK(Announce(kAcme, Release("lamp-1"), info).status());
  EXPECT_THAT(GetRelease(Release("lamp-1"), kZeta),
              StatusIs(absl::StatusCode::kPermissionDenied, "NOT_YOURS"));
  EXPECT_THAT(ListNotices(kZeta, "acme"), StatusIs(absl::StatusCode::kPermissionDenied, "NOT_YOURS"));
  EXPECT_THAT(ListNotices(kZeta, "-"), StatusIs(absl::StatusCode::kPermissionDenied, "NOT_YOURS"));
  EXPECT_THAT(ListNotices(kGateway, "acme"), StatusIs(absl::StatusCode::kPermissionDenied));
  v1::ListReleasesRequest all;
  all.set_parent("manufacturers/-");
  EXPECT_THAT(Call(kAcme, &v1::LiaisonService::Stub::ListReleases, all),
              StatusIs(absl::StatusCode::kPermissionDenied, "NOT_YOURS"));
  EXPECT_EQ(Call(kOperator, &v1::LiaisonService::Stub::ListReleases, all)->releases_size(), 1);
  // In its own name, but under another's path.
  EXPECT_THAT(Announce(kZeta, "manufacturers/zeta/releases/lamp-1", info),
              StatusIs(absl::StatusCode::kInvalidArgument, "RELEASE_INVALID"));
}

// HOME-5
TEST_F(AppTest, AReleaseThatDoesNotSayAllIsRefusedByTheNameOfTheField) {
  ASSERT_OK(Add("acme").status());
  ASSERT_OK(images_.Upload(kAcme, "acme", "image").status());
  using Spoil = std::function<void(common::v1::ReleaseInfo&)>;
  const std::vector<std::pair<std::string, Spoil>> cases = {
      {"version", [](auto& info) { info.set_version("one"); }},
      {"version_format", [](auto& info) { info.clear_version_format(); }},
      {"release_counter", [](auto& info) { info.set_release_counter(0); }},
      {"models", [](auto& info) { info.clear_models(); }},
      {"hardware_ids", [](auto& info) { info.clear_hardware_ids(); }},
      {"image.target_path", [](auto& info) { info.mutable_image()->set_target_path("acme/../zeta/x"); }},
      {"image.target_path", [](auto& info) { info.mutable_image()->set_target_path("zeta/lamp/x"); }},
      {"image.length_bytes", [](auto& info) { info.mutable_image()->set_length_bytes(0); }},
      {"image.sha256", [](auto& info) { info.mutable_image()->set_sha256("abc"); }},
      {"criticality", [](auto& info) { info.clear_criticality(); }},
      {"kind", [](auto& info) { info.clear_kind(); }},
      {"advisory.ids", [](auto& info) { info.clear_advisory(); }},
      {"notices", [](auto& info) { info.clear_notices(); }},
      {"purpose", [](auto& info) { info.mutable_notices(0)->clear_purpose(); }},
      {"terms.text_sha256", [](auto& info) { info.mutable_terms()->set_text_sha256(""); }},
      {"minimum_installed_version", [](auto& info) { info.set_minimum_installed_version("x"); }},
  };
  for (const auto& [field, spoil] : cases) {
    common::v1::ReleaseInfo info = Info("acme", 1, "image");
    spoil(info);
    const absl::Status status = Announce(kAcme, Release("lamp-1"), info).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  }
  EXPECT_THAT(Announce(kAcme, Release("Lamp!"), Info("acme", 1, "image")),
              StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID"));
}

// HOME-3
TEST_F(AppTest, APushingManufacturerHasANoticeWhenItReadsIt) {
  ASSERT_OK(Add("acme").status());
  ASSERT_OK_AND_ASSIGN(const v1::Notice sent, Notify("acme"));
  EXPECT_EQ(sent.state(), v1::Notice::STATE_PENDING);
  EXPECT_EQ(NoticeState("acme"), v1::Notice::STATE_PENDING);
  ASSERT_OK_AND_ASSIGN(const v1::ListNoticesResponse read, ListNotices(kAcme, "acme"));
  ASSERT_EQ(read.notices_size(), 1);
  EXPECT_EQ(read.notices(0).text(), "Keys of L1 are traded.");
  EXPECT_EQ(NoticeState("acme"), v1::Notice::STATE_DELIVERED);
}

// HOME-3, HOME-4, HOME-5, HOME-6
TEST_F(AppTest, WhatABackendOffersComesToTheStoreAndItsMetadataToTheAuthority) {
  OemBackend backend(kAcme);
  const std::string big(600'000, 'x');
  backend.OfferTrue("lamp-1", Info("acme", 1, "image 1"), "image 1");
  backend.OfferTrue("lamp-2", Info("acme", 2, big), big);
  backend.SetRole(RoleFor(1, {"image 1", big}));
  ASSERT_OK(Add("acme", backend.address()).status());
  EXPECT_EQ(AwaitRefresh("acme").last_refresh_error(), "");
  EXPECT_EQ(StateOf(Release("lamp-1")), v1::Release::STATE_AVAILABLE);
  EXPECT_EQ(StateOf(Release("lamp-2")), v1::Release::STATE_AVAILABLE);
  EXPECT_EQ(GetRelease(Release("lamp-2"))->info().SerializeAsString(),
            Info("acme", 2, big).SerializeAsString());
  EXPECT_THAT(images_.Download(kAuthority, crypto::Sha256Hex(big)), IsOkAndHolds(big));
  ASSERT_THAT(Proposals(), SizeIs(1));
  EXPECT_EQ(Proposals()[0].state(), ps::Proposal::STATE_AWAITING_APPROVAL);
  EXPECT_EQ(Proposals()[0].changed_targets_size(), 2);

  // The same again is nothing new, and what is taken back is no longer offered.
  backend.TakeBack("lamp-1");
  EXPECT_EQ(Refresh("acme").last_refresh_error(), "");
  EXPECT_THAT(Proposals(), SizeIs(1));
  EXPECT_EQ(StateOf(Release("lamp-1")), v1::Release::STATE_WITHDRAWN);
  backend.Offer("lamp-1", Info("acme", 1, "image 1"));
  EXPECT_EQ(Refresh("acme").last_refresh_error(), "");
  EXPECT_EQ(StateOf(Release("lamp-1")), v1::Release::STATE_AVAILABLE);

  ASSERT_OK(Notify("acme").status());
  while (NoticeState("acme") != v1::Notice::STATE_DELIVERED) std::this_thread::yield();
  ASSERT_THAT(backend.notices(), SizeIs(1));
  EXPECT_EQ(backend.notices()[0].text(), "Keys of L1 are traded.");
}

TEST_F(AppTest, OneLieOfABackendStopsNothingElse) {
  OemBackend backend(kAcme);
  const auto offer = [&](const std::string& id, int64_t counter, const std::string& promised,
                         const std::string& sent, bool for_ever = false) {
    const common::v1::ReleaseInfo info = Info("acme", counter, promised);
    backend.Give(info.image().sha256(), sent, for_ever);
    backend.Offer(id, info);
  };
  offer("other-bytes", 1, "promised bytes", "otherwise said");
  offer("endless", 2, std::string(100'000, 'e'), std::string(30'000, 'e'), true);
  offer("short", 3, "short and long", "short");
  backend.Offer("nowhere", Info("acme", 4, "never uploaded"));
  backend.OfferTrue("foreign", Info("zeta", 5, "foreign"), "foreign");
  common::v1::ReleaseInfo silent = Info("acme", 6, "silent");
  silent.clear_notices();
  backend.OfferTrue("silent", silent, "silent");
  backend.OfferTrue("Not An Id", Info("acme", 7, "no id"), "no id");
  backend.OfferTrue("true", Info("acme", 8, "true"), "true");
  ASSERT_OK(Add("acme", backend.address()).status());

  const v1::Manufacturer acme = AwaitRefresh("acme");
  EXPECT_EQ(acme.last_refresh_state(), v1::Manufacturer::REFRESH_STATE_FAILED);
  for (const char* id : {"other-bytes", "endless", "short", "nowhere", "foreign", "silent"}) {
    EXPECT_THAT(acme.last_refresh_error(), HasSubstr(id));
    EXPECT_NE(StateOf(Release(id)), v1::Release::STATE_AVAILABLE) << id;
  }
  EXPECT_EQ(StateOf(Release("true")), v1::Release::STATE_AVAILABLE);
  EXPECT_THAT(images_.Download(kAuthority, crypto::Sha256Hex("otherwise said")),
              StatusIs(absl::StatusCode::kNotFound));

  // Told the truth, it goes on.
  for (const char* id : {"other-bytes", "nowhere", "foreign", "silent", "Not An Id", "endless"}) {
    backend.TakeBack(id);
  }
  backend.Give(crypto::Sha256Hex("short and long"), "short and long");
  EXPECT_EQ(Refresh("acme").last_refresh_error(), "");
  EXPECT_EQ(StateOf(Release("short")), v1::Release::STATE_AVAILABLE);
  backend.Offer("true", Info("acme", 9, "true"));
  EXPECT_THAT(Refresh("acme").last_refresh_error(), AllOf(HasSubstr("true"), HasSubstr("RELEASE_CHANGED")));
}

TEST_F(AppTest, MetadataThatTheManufacturerDidNotSignIsNotProposed) {
  OemBackend backend(kAcme);
  backend.OfferTrue("lamp-1", Info("acme", 1, "image"), "image");
  backend.SetRole("{}");
  ASSERT_OK(Add("acme", backend.address()).status());
  EXPECT_THAT(AwaitRefresh("acme").last_refresh_error(), HasSubstr("role metadata"));
  EXPECT_EQ(StateOf(Release("lamp-1")), v1::Release::STATE_AVAILABLE);
  EXPECT_THAT(Proposals(), IsEmpty());
}

TEST_F(AppTest, WhoIsNotTheManufacturerIsToldAndBelievedNothing) {
  OemBackend impostor(kZeta);
  impostor.OfferTrue("lamp-1", Info("acme", 1, "image"), "image");
  ASSERT_OK(Add("acme", impostor.address()).status());
  ASSERT_OK(Notify("acme").status());
  const v1::Manufacturer acme = AwaitRefresh("acme");
  EXPECT_EQ(acme.last_refresh_state(), v1::Manufacturer::REFRESH_STATE_FAILED);
  EXPECT_THAT(acme.last_refresh_error(), HasSubstr("manufacturer/zeta"));
  EXPECT_THAT(GetRelease(Release("lamp-1")), StatusIs(absl::StatusCode::kNotFound, "RELEASE_UNKNOWN"));
  EXPECT_THAT(impostor.notices(), IsEmpty());
  EXPECT_EQ(NoticeState("acme"), v1::Notice::STATE_PENDING);
}

TEST_F(AppTest, APageOfLongReleasesEndsBeforeItIsMoreThanAClientTakes) {
  ASSERT_OK(Add("acme").status());
  ASSERT_OK(images_.Upload(kAcme, "acme", "image").status());
  constexpr int kReleases = 16;
  common::v1::ReleaseInfo info = Info("acme", 1, "image");
  const common::v1::UserNotice notice = info.notices(0);
  while (info.ByteSizeLong() < 400'000) {
    common::v1::UserNotice& added = *info.add_notices();
    added = notice;
    const int number = info.notices_size();
    added.set_language({static_cast<char>('f' + number / 26), static_cast<char>('a' + number % 26)});
    added.set_purpose(std::string(2000, 'p'));
    added.set_changes(std::string(2000, 'c'));
    added.set_unavailable_functions(std::string(2000, 'u'));
    added.set_instructions(std::string(2000, 'i'));
  }
  for (int i = 1; i <= kReleases; ++i) {
    info.mutable_image()->set_target_path(PathOf("acme", i));
    info.set_release_counter(i);
    ASSERT_OK(Announce(kAcme, Release(absl::StrCat("lamp-", i)), info).status());
  }
  v1::ListReleasesRequest request;
  request.set_parent("manufacturers/acme");
  int found = 0;
  do {
    ASSERT_OK_AND_ASSIGN(const v1::ListReleasesResponse page,
                         Call(kOperator, &v1::LiaisonService::Stub::ListReleases, request));
    EXPECT_LT(page.ByteSizeLong(), 4u << 20);
    found += page.releases_size();
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(found, kReleases);
}

TEST_F(AppTest, ABackendThatSaysNothingHoldsUpNoOther) {
  OemBackend acme(kAcme);
  acme.OfferTrue("lamp-1", Info("acme", 1, "image"), "image");
  acme.FallSilent();
  OemBackend zeta(kZeta);
  zeta.OfferTrue("lamp-1", Info("zeta", 1, "image"), "image");
  ASSERT_OK(Add("acme", acme.address()).status());
  while (StateOf(Release("lamp-1")) != v1::Release::STATE_RETRIEVING) std::this_thread::yield();
  ASSERT_OK(Add("zeta", zeta.address()).status());
  EXPECT_EQ(AwaitRefresh("zeta").last_refresh_error(), "");
  EXPECT_EQ(StateOf(Release("lamp-1")), v1::Release::STATE_RETRIEVING);
}

class StallTest : public AppTest {
 protected:
  void Configure(Config& config) override { config.stall_window = absl::Milliseconds(50); }
};

TEST_F(StallTest, ABackendThatSaysNothingIsLeft) {
  OemBackend acme(kAcme);
  acme.OfferTrue("lamp-1", Info("acme", 1, "image"), "image");
  acme.FallSilent();
  ASSERT_OK(Add("acme", acme.address()).status());
  EXPECT_EQ(AwaitRefresh("acme").last_refresh_state(), v1::Manufacturer::REFRESH_STATE_FAILED);
  EXPECT_THAT(GetManufacturer("acme").last_refresh_error(), HasSubstr("BACKEND_STALLED"));
}

TEST_F(AppTest, ABackendThatIsAwayIsSaidToBeAndHoldsUpNoOther) {
  std::string nowhere;
  {
    const OemBackend gone(kAcme);
    nowhere = gone.address();
  }
  OemBackend zeta(kZeta);
  zeta.OfferTrue("lamp-1", Info("zeta", 1, "image"), "image");
  ASSERT_OK(Add("acme", nowhere).status());
  ASSERT_OK(Add("zeta", zeta.address()).status());
  EXPECT_EQ(AwaitRefresh("zeta").last_refresh_error(), "");
  EXPECT_EQ(AwaitRefresh("acme").last_refresh_state(), v1::Manufacturer::REFRESH_STATE_FAILED);
  EXPECT_THAT(GetManufacturer("acme").last_refresh_error(), HasSubstr("UNAVAILABLE"));
}

// tools/oem_backend, a process with the manufacturer's certificate and a catalogue.
class PythonBackend {
 public:
  explicit PythonBackend(const std::string& folder) : port_file_(absl::StrCat(folder, "/port")) {
    const rpc::TlsOptions tls = Pki().TlsFor(kAcme);
    std::vector<std::string> arguments = {"/usr/bin/python3",
                                          "tools/oem_backend/oem_backend.py",
                                          "--manufacturer=acme",
                                          absl::StrCat("--trust-domain=", Pki().trust_domain()),
                                          absl::StrCat("--catalog=", folder),
                                          absl::StrCat("--port-file=", port_file_),
                                          absl::StrCat("--cert=", tls.certificate_file),
                                          absl::StrCat("--key=", tls.key_file),
                                          absl::StrCat("--ca=", tls.ca_file)};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], nullptr, nullptr, argv.data(), environ), 0);
  }
  ~PythonBackend() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  // Once it serves; "" when it ended instead.
  std::string Address() {
    absl::StatusOr<std::string> port = ReadFile(port_file_);
    while (!port.ok()) {
      if (waitpid(pid_, nullptr, WNOHANG) != 0) return "";
      std::this_thread::yield();
      port = ReadFile(port_file_);
    }
    return absl::StrCat("127.0.0.1:", absl::StripSuffix(*port, "\n"));
  }

 private:
  const std::string port_file_;
  pid_t pid_ = 0;
};

// HOME-3, HOME-4, HOME-5
TEST_F(AppTest, ABackendInAnotherLanguageIsOneLikeAnother) {
  std::string folder = absl::StrCat(getenv("TEST_TMPDIR"), "/catalog-XXXXXX");
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  ASSERT_OK(MakeDirectories(absl::StrCat(folder, "/releases")));
  ASSERT_OK(MakeDirectories(absl::StrCat(folder, "/images")));
  const std::string image(600'000, 'p');
  ASSERT_OK(WriteFileAtomically(absl::StrCat(folder, "/images/", crypto::Sha256Hex(image)), image));
  ASSERT_OK(WriteFileAtomically(absl::StrCat(folder, "/role.json"), RoleFor(1, {image})));
  v1::Release release;
  release.set_name(Release("lamp-1"));
  *release.mutable_info() = Info("acme", 1, image);
  std::string json;
  ASSERT_TRUE(google::protobuf::util::MessageToJsonString(release, &json).ok());
  ASSERT_OK(WriteFileAtomically(absl::StrCat(folder, "/releases/lamp-1.json"), json));

  PythonBackend backend(folder);
  const std::string address = backend.Address();
  ASSERT_NE(address, "") << "the backend did not start";
  ASSERT_OK(Add("acme", address).status());
  EXPECT_EQ(AwaitRefresh("acme").last_refresh_error(), "");
  EXPECT_EQ(StateOf(Release("lamp-1")), v1::Release::STATE_AVAILABLE);
  EXPECT_THAT(images_.Download(kAuthority, crypto::Sha256Hex(image)), IsOkAndHolds(image));
  EXPECT_THAT(Proposals(), SizeIs(1));
  ASSERT_OK(Notify("acme").status());
  while (NoticeState("acme") != v1::Notice::STATE_DELIVERED) std::this_thread::yield();
  EXPECT_THAT(*ReadFile(absl::StrCat(folder, "/notices.jsonl")), HasSubstr("Keys of L1 are traded."));
}

}  // namespace
}  // namespace countersign::liaison
