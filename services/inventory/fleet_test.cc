// What keeps a fleet in order: enrolment, moves, orders to stop, tags, and what was.
#include "services/inventory/testing/world.h"

namespace countersign::inventory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FleetTest : public WorldTest {
 protected:
  static std::string NameOf(const Home& home, const std::string& serial) {
    return absl::StrCat("gateways/", home.id, "/components/", serial);
  }
  static std::string DeviceNameOf(const Home& home, const std::string& serial) {
    return absl::StrCat("gateways/", home.id, "/devices/device-", serial);
  }

  // The component reports, as `change` makes its report.
  static absl::StatusOr<v1::SubmitManifestResponse> Report(
      Home& home, const std::string& serial,
      const std::function<void(trust::VersionReport&)>& change = [](trust::VersionReport&) {}) {
    const std::string nonce = home.Challenge();
    trust::VersionReport report = home.Report(serial, nonce);
    change(report);
    return home.Submit(nonce, {home.Sign(report, home.components.at(serial))});
  }

  template <typename Request>
  static Request Order(const std::string& name, const std::string& reason) {
    Request request;
    request.set_name(name);
    request.set_reason(reason);
    request.set_request_id(crypto::Uuid());
    return request;
  }
  absl::StatusOr<v1::Component> Quarantine(const std::string& name, const std::string& reason = "it burns") {
    return Call(*operator_, &Stub::QuarantineComponent, Order<v1::QuarantineComponentRequest>(name, reason));
  }
  absl::StatusOr<v1::Component> Release(const std::string& name) {
    return Call(*operator_, &Stub::ReleaseComponent, Order<v1::ReleaseComponentRequest>(name, "repaired"));
  }

  absl::StatusOr<v1::Device> Move(const std::string& name, const std::string& gateway_id) {
    v1::MoveDeviceRequest request;
    request.set_name(name);
    request.set_destination("gateways/" + gateway_id);
    request.set_request_id(crypto::Uuid());
    return Call(*operator_, &Stub::MoveDevice, request);
  }

  std::vector<v1::ComponentChange> History(const std::string& name, Stub& stub) {
    v1::ListComponentHistoryRequest request;
    request.set_parent(name);
    request.set_page_size(2);
    std::vector<v1::ComponentChange> changes;
    while (true) {
      const auto page = Call(stub, &Stub::ListComponentHistory, request);
      EXPECT_OK(page);
      if (!page.ok()) return changes;
      EXPECT_LE(page->changes_size(), 2);
      changes.insert(changes.end(), page->changes().begin(), page->changes().end());
      if (page->next_page_token().empty()) return changes;
      request.set_page_token(page->next_page_token());
    }
  }

  // A device that nobody provisioned, as its gateway found it.
  static v1::AnnounceDeviceRequest Announcement(Home& home, const std::string& serial) {
    home.components.emplace(serial, NewSigner());
    v1::AnnounceDeviceRequest request;
    request.mutable_device()->set_name(DeviceNameOf(home, serial));
    request.mutable_device()->set_manufacturer("acme");
    request.mutable_device()->set_model("T1000");
    request.mutable_device()->set_hardware_version("B2");
    v1::Component& component = *request.mutable_device()->add_components();
    component.set_ecu_serial(serial);
    component.set_hardware_id("hw-1");
    component.set_public_key_pem(home.components.at(serial).public_key().Pem());
    return request;
  }
  static v1::ApproveDeviceRequest Approval(const std::string& name) {
    v1::ApproveDeviceRequest request;
    request.set_name(name);
    request.set_request_id(crypto::Uuid());
    return request;
  }
  std::vector<std::string> Pending(Stub& stub, const std::string& gateway_id) {
    v1::ListPendingDevicesRequest request;
    request.set_parent("gateways/" + gateway_id);
    std::vector<std::string> names;
    const auto response = Call(stub, &Stub::ListPendingDevices, request);
    EXPECT_OK(response);
    for (const v1::Device& device : response->devices()) {
      EXPECT_EQ(device.enrolment(), v1::Device::ENROLMENT_AWAITING);
      EXPECT_EQ(device.components(0).state(), v1::Component::STATE_AWAITING_ENROLMENT);
      names.push_back(device.name());
    }
    return names;
  }
};

// FOTA-R3
TEST_F(FleetTest, AnOrderToStopIsConfirmedByTheComponentsOwnSignedReport) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string name = NameOf(home, serial);
  ASSERT_OK(Report(home, serial));
  ASSERT_OK_AND_ASSIGN(v1::Component component, Quarantine(name));
  EXPECT_EQ(component.state(), v1::Component::STATE_QUARANTINED);
  EXPECT_EQ(component.quarantine().ordered_by(), "operator/alice");
  EXPECT_EQ(component.quarantine().reason(), "it burns");
  EXPECT_FALSE(component.quarantine().has_confirm_time());

  // It still runs: its report is good, and lifts nothing.
  EXPECT_EQ(Report(home, serial)->results(0).state(), v1::Component::STATE_QUARANTINED);
  EXPECT_FALSE(GetComponent(serial).quarantine().has_confirm_time());
  EXPECT_FALSE(GetComponent(serial).stopped());

  ASSERT_OK(Report(home, serial, [](trust::VersionReport& report) { report.quarantined = true; }));
  component = GetComponent(serial);
  EXPECT_EQ(component.state(), v1::Component::STATE_QUARANTINED);
  EXPECT_TRUE(component.stopped());
  ASSERT_TRUE(component.quarantine().has_confirm_time());
  const std::string confirmed = component.quarantine().SerializeAsString();
  ASSERT_OK(Report(home, serial, [](trust::VersionReport& report) { report.quarantined = true; }));
  ASSERT_OK(Quarantine(name, "it still burns"));
  EXPECT_EQ(GetComponent(serial).quarantine().SerializeAsString(), confirmed) << "as it was ordered first";

  ASSERT_OK_AND_ASSIGN(component, Release(name));
  EXPECT_EQ(component.state(), v1::Component::STATE_UNVERIFIED);
  EXPECT_FALSE(component.has_quarantine());
  ASSERT_OK(Report(home, serial));
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_VERIFIED);
  EXPECT_FALSE(GetComponent(serial).stopped());
}

TEST_F(FleetTest, AReportOfAnothersStopConfirmsNothing) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  ASSERT_OK(Quarantine(NameOf(home, serial)));
  const std::string nonce = home.Challenge();
  trust::VersionReport report = home.Report(serial, nonce);
  report.quarantined = true;
  EXPECT_THAT(ReasonsOf(*home.Submit(nonce, {home.Sign(report, NewSigner())})),
              ElementsAre("SIGNATURE_INVALID"));
  EXPECT_FALSE(GetComponent(serial).quarantine().has_confirm_time());
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_QUARANTINED);
}

TEST_F(FleetTest, AnOrderNeedsAReasonAComponentAndAStateThatItIsFor) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string name = NameOf(home, serial);
  EXPECT_THAT(Quarantine(name, ""), StatusIs(kInvalidArgument, "REASON_MISSING"));
  EXPECT_THAT(Quarantine("components/x"), StatusIs(kInvalidArgument, "NAME_INVALID"));
  EXPECT_THAT(Quarantine(NameOf(home, "nothing")), StatusIs(kNotFound, "COMPONENT_UNKNOWN"));
  EXPECT_THAT(Release(name), StatusIs(kFailedPrecondition, "WRONG_STATE"));
  ASSERT_OK(Call(*operator_, &Stub::RetireComponent, Order<v1::RetireComponentRequest>(name, "scrapped")));
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_RETIRED);
  EXPECT_THAT(Quarantine(name), StatusIs(kFailedPrecondition, "WRONG_STATE"));
  ASSERT_OK(Report(home, serial));
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_RETIRED) << "no report brings it back";

  const auto refused = StatusIs(kPermissionDenied, "ROLE_NOT_ALLOWED");
  for (const rpc::Identity& identity :
       {rpc::Identity{Role::kGateway, home.id}, rpc::Identity{Role::kManufacturer, "acme"},
        rpc::Identity{Role::kService, "rollout"}}) {
    const std::unique_ptr<Stub> stub = world_->StubAs(identity);
    EXPECT_THAT(
        Call(*stub, &Stub::QuarantineComponent, Order<v1::QuarantineComponentRequest>(name, "out of spite")),
        refused);
    EXPECT_THAT(Call(*stub, &Stub::ReleaseComponent, Order<v1::ReleaseComponentRequest>(name, "let me")),
                refused);
    EXPECT_THAT(Call(*stub, &Stub::MoveDevice, v1::MoveDeviceRequest()), refused);
  }
}

TEST_F(FleetTest, WatchersHearOfAnOrder) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  ASSERT_OK(Quarantine(NameOf(home, serial)));
  const std::unique_ptr<Stub> service = world_->StubAs({Role::kService, "rollout"});
  rpc::CallContext context(absl::Seconds(30));
  const auto reader = service->WatchComponents(context.get(), v1::WatchComponentsRequest());
  v1::WatchComponentsResponse change;
  do {
    ASSERT_TRUE(reader->Read(&change));
  } while (change.component().ecu_serial() != serial ||
           change.component().state() != v1::Component::STATE_QUARANTINED);
  EXPECT_EQ(change.component().quarantine().reason(), "it burns");
  context->TryCancel();
  while (reader->Read(&change)) {
  }
  reader->Finish();
}

// HOME-9
TEST_F(FleetTest, TheHistoryTellsWhatWasByWhomAndWhyNewestFirst) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::string name = NameOf(home, serial);
  ASSERT_OK(Report(home, serial));
  ASSERT_OK(Report(home, serial));  // says nothing new
  ASSERT_OK(Report(home, serial, [](trust::VersionReport& report) {
    report.version = "2.0.0";
    report.sha256 = std::string(64, 'b');
    report.approval_result = "APPROVED";
  }));
  EXPECT_EQ(GetComponent(serial).approval_result(), "APPROVED");
  ASSERT_OK(Quarantine(name));
  const std::vector<v1::ComponentChange> changes = History(name, *operator_);
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].cause(), "ORDER");
  EXPECT_EQ(changes[0].actor(), "operator/alice");
  EXPECT_EQ(changes[0].note(), "it burns");
  EXPECT_EQ(changes[0].state(), v1::Component::STATE_QUARANTINED);
  EXPECT_EQ(changes[0].installed().version(), "2.0.0");
  EXPECT_EQ(changes[1].cause(), "REPORT");
  EXPECT_EQ(changes[1].manifest_counter(), 3);
  EXPECT_EQ(changes[1].installed().version(), "2.0.0");
  EXPECT_EQ(changes[2].installed().version(), "1.0.0");
  EXPECT_EQ(changes[2].software_versions().at("bootloader"), "3.1");

  EXPECT_EQ(History(name, *home.stub).size(), 3u);
  EXPECT_EQ(History(name, *world_->StubAs({Role::kManufacturer, "acme"})).size(), 3u);
  v1::ListComponentHistoryRequest request;
  request.set_parent(name);
  EXPECT_THAT(Call(*world_->StubAs({Role::kManufacturer, "rival"}), &Stub::ListComponentHistory, request),
              StatusIs(kNotFound, "COMPONENT_UNKNOWN"));
  Home other = NewHome();
  EXPECT_THAT(Call(*other.stub, &Stub::ListComponentHistory, request),
              StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
}

TEST_F(FleetTest, AMovedDeviceIsRefusedFromItsOldHomeAndKeepsItsHistory) {
  Home home = NewHome();
  Home next = NewHome();
  const std::string serial = AddDevice(home);
  const std::string stays = AddDevice(home);
  ASSERT_OK(Report(home, serial));
  ASSERT_OK_AND_ASSIGN(const v1::Device moved, Move(DeviceNameOf(home, serial), next.id));
  EXPECT_EQ(moved.name(), DeviceNameOf(next, serial));
  EXPECT_EQ(moved.components(0).name(), NameOf(next, serial));
  EXPECT_EQ(moved.components(0).state(), v1::Component::STATE_VERIFIED);

  // The old gateway's keys are still kept by the replica that has just verified with them.
  ASSERT_OK_AND_ASSIGN(v1::SubmitManifestResponse response, Report(home, serial));
  EXPECT_THAT(ReasonsOf(response), ElementsAre("OTHER_GATEWAY"));
  EXPECT_EQ(response.results(0).state(), v1::Component::STATE_UNSPECIFIED);
  metrics::Registry metrics;
  const std::unique_ptr<App> replica = world_->StartReplica(metrics);
  home.stub = world_->StubAs({Role::kGateway, home.id}, *replica);
  // Challenges are in order by the replicas' clocks, which stand still here.
  world_->clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(ReasonsOf(*Report(home, serial)), ElementsAre("OTHER_GATEWAY")) << "nor by one that has none";
  EXPECT_THAT(ReasonsOf(*Report(home, stays)), ElementsAre("ACCEPTED"));

  next.components.emplace(serial, home.components.at(serial));
  next.report_counters[serial] = 10;
  EXPECT_THAT(ReasonsOf(*Report(next, serial)), ElementsAre("ACCEPTED"));
  EXPECT_EQ(GetComponent(serial).state(), v1::Component::STATE_VERIFIED);

  const std::vector<v1::ComponentChange> changes = History(NameOf(next, serial), *operator_);
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].cause(), "MOVE");
  EXPECT_EQ(changes[0].gateway(), next.id);
  EXPECT_EQ(changes[1].gateway(), home.id);
  EXPECT_EQ(History(NameOf(next, serial), *next.stub).size(), 1u)
      << "what was in another home is not for this one";

  EXPECT_THAT(Move(DeviceNameOf(home, serial), next.id), StatusIs(kNotFound, "DEVICE_UNKNOWN"));
  EXPECT_THAT(Move(DeviceNameOf(next, serial), "nowhere"), StatusIs(kNotFound, "GATEWAY_UNKNOWN"));
  EXPECT_THAT(Move(DeviceNameOf(next, serial), next.id), StatusIs(kInvalidArgument, "SAME_GATEWAY"));
  ASSERT_OK(Move(DeviceNameOf(next, serial), home.id));
  EXPECT_EQ(History(NameOf(home, serial), *operator_).size(), 3u);
}

TEST_F(FleetTest, ADeviceThatAGatewayFoundAwaitsEnrolmentAndIsNotBelieved) {
  Home home = NewHome();
  const std::string serial = NewId("SN");
  const v1::AnnounceDeviceRequest announcement = Announcement(home, serial);
  const std::string name = announcement.device().name();
  ASSERT_OK(Call(*home.stub, &Stub::AnnounceDevice, announcement));
  EXPECT_OK(Call(*home.stub, &Stub::AnnounceDevice, announcement)) << "told again";
  EXPECT_THAT(Pending(*operator_, home.id), ElementsAre(name));
  EXPECT_THAT(ReasonsOf(*Report(home, serial)), ElementsAre("UNKNOWN_COMPONENT"));
  v1::GetDeviceRequest get;
  get.set_name(name);
  EXPECT_THAT(Call(*operator_, &Stub::GetDevice, get), StatusIs(kNotFound, "DEVICE_UNKNOWN"));

  // Whoever comes with another key for it is not heard.
  Home impostor = NewHome();
  v1::AnnounceDeviceRequest forged = announcement;
  forged.mutable_device()->mutable_components(0)->set_public_key_pem(NewSigner().public_key().Pem());
  EXPECT_THAT(Call(*home.stub, &Stub::AnnounceDevice, forged), StatusIs(kFailedPrecondition, "OTHER_KEY"));
  EXPECT_THAT(Call(*impostor.stub, &Stub::AnnounceDevice, announcement),
              StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
  EXPECT_THAT(Call(*operator_, &Stub::AnnounceDevice, announcement),
              StatusIs(kPermissionDenied, "ROLE_NOT_ALLOWED"));

  const std::unique_ptr<Stub> acme = world_->StubAs({Role::kManufacturer, "acme"});
  const std::unique_ptr<Stub> rival = world_->StubAs({Role::kManufacturer, "rival"});
  EXPECT_THAT(Pending(*rival, home.id), ElementsAre());
  EXPECT_THAT(Call(*rival, &Stub::ApproveDevice, Approval(name)), StatusIs(kNotFound, "DEVICE_UNKNOWN"));
  EXPECT_THAT(Call(*home.stub, &Stub::ApproveDevice, Approval(name)),
              StatusIs(kPermissionDenied, "ROLE_NOT_ALLOWED"));
  const v1::ApproveDeviceRequest approval = Approval(name);
  ASSERT_OK_AND_ASSIGN(const v1::Device enrolled, Call(*acme, &Stub::ApproveDevice, approval));
  EXPECT_EQ(enrolled.enrolment(), v1::Device::ENROLMENT_ENROLLED);
  EXPECT_EQ(enrolled.components(0).state(), v1::Component::STATE_UNVERIFIED);
  EXPECT_EQ(Call(*acme, &Stub::ApproveDevice, approval)->SerializeAsString(), enrolled.SerializeAsString());
  EXPECT_THAT(Pending(*operator_, home.id), ElementsAre());
  EXPECT_THAT(ReasonsOf(*Report(home, serial)), ElementsAre("ACCEPTED"));
  EXPECT_THAT(Call(*home.stub, &Stub::AnnounceDevice, announcement),
              StatusIs(absl::StatusCode::kAlreadyExists, "DEVICE_EXISTS"));
}

TEST_F(FleetTest, AnAnnouncementTakesNothingFromAnyone) {
  Home home = NewHome();
  Home other = NewHome();
  const std::string taken = AddDevice(other);
  EXPECT_THAT(Call(*home.stub, &Stub::AnnounceDevice, Announcement(home, taken)),
              StatusIs(absl::StatusCode::kAlreadyExists, "ECU_SERIAL_TAKEN"));
  // A serial number that is only announced can still be provisioned, and then the announcement is worth
  // nothing.
  const std::string serial = NewId("SN");
  ASSERT_OK(Call(*home.stub, &Stub::AnnounceDevice, Announcement(home, serial)));
  v1::CreateDeviceRequest create = DeviceRequest(other, "device-" + serial);
  create.mutable_device()->add_components()->set_ecu_serial(serial);
  create.mutable_device()->mutable_components(0)->set_hardware_id("hw-1");
  create.mutable_device()->mutable_components(0)->set_constrained(true);
  ASSERT_OK(Call(*operator_, &Stub::CreateDevice, create));
  EXPECT_THAT(Call(*operator_, &Stub::ApproveDevice, Approval(DeviceNameOf(home, serial))),
              StatusIs(absl::StatusCode::kAlreadyExists, "ECU_SERIAL_TAKEN"));

  // Tags and a factory image are for others to say.
  v1::AnnounceDeviceRequest more = Announcement(home, NewId("SN"));
  (*more.mutable_device()->mutable_tags())["vip"] = "yes";
  more.mutable_device()->mutable_components(0)->set_factory_sha256(std::string(64, 'a'));
  ASSERT_OK(Call(*home.stub, &Stub::AnnounceDevice, more));
  ASSERT_OK_AND_ASSIGN(const v1::Device approved,
                       Call(*operator_, &Stub::ApproveDevice, Approval(more.device().name())));
  EXPECT_TRUE(approved.tags().empty());
  EXPECT_EQ(approved.components(0).factory_sha256(), "");
}

TEST_F(FleetTest, AGatewayAnnouncesBoundedlyManyAndAnOperatorForgetsThem) {
  Home home = NewHome();
  for (int i = 0; i < 64; ++i) {
    ASSERT_OK(Call(*home.stub, &Stub::AnnounceDevice, Announcement(home, NewId("SN"))));
  }
  const v1::AnnounceDeviceRequest one_more = Announcement(home, NewId("SN"));
  EXPECT_THAT(Call(*home.stub, &Stub::AnnounceDevice, one_more),
              StatusIs(absl::StatusCode::kResourceExhausted, "TOO_MANY_PENDING"));
  const std::vector<std::string> names = Pending(*operator_, home.id);
  ASSERT_EQ(names.size(), 64u);
  v1::RejectDeviceRequest reject;
  reject.set_name(names[0]);
  reject.set_request_id(crypto::Uuid());
  EXPECT_OK(Call(*operator_, &Stub::RejectDevice, reject));
  EXPECT_OK(Call(*operator_, &Stub::RejectDevice, reject)) << "the same request again";
  reject.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*operator_, &Stub::RejectDevice, reject), StatusIs(kNotFound, "DEVICE_UNKNOWN"));
  EXPECT_OK(Call(*home.stub, &Stub::AnnounceDevice, one_more));
}

TEST_F(FleetTest, AComponentHasTheTagsOfItsDeviceAndItsGateway) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const auto set = [&](const std::string& name, const std::string& tag, const std::string& value) {
    v1::SetTagsRequest request;
    request.set_name(name);
    (*request.mutable_set())[tag] = value;
    request.set_request_id(crypto::Uuid());
    return Call(*operator_, &Stub::SetTags, request);
  };
  ASSERT_OK(set("gateways/" + home.id, "city", "Bonn"));
  ASSERT_OK(set("gateways/" + home.id, "floor", "0"));
  ASSERT_OK(set(DeviceNameOf(home, serial), "floor", "2"));
  v1::Component component = GetComponent(serial);
  EXPECT_EQ(component.tags_size(), 2);
  EXPECT_EQ(component.tags().at("city"), "Bonn");
  EXPECT_EQ(component.tags().at("floor"), "2");

  const std::string later = AddDevice(home);
  EXPECT_EQ(GetComponent(later).tags().at("floor"), "0");
  v1::SetTagsRequest request;
  request.set_name(DeviceNameOf(home, serial));
  request.add_remove("floor");
  request.set_request_id(crypto::Uuid());
  ASSERT_OK(Call(*operator_, &Stub::SetTags, request));
  EXPECT_EQ(GetComponent(serial).tags().at("floor"), "0");

  EXPECT_THAT(set(DeviceNameOf(home, serial), "Floor", "2"), StatusIs(kInvalidArgument, "TAG_INVALID"));
  EXPECT_THAT(set("gateways/nowhere", "floor", "2"), StatusIs(kNotFound, "GATEWAY_UNKNOWN"));
  EXPECT_THAT(set("gateways/" + home.id + "/devices/none", "floor", "2"),
              StatusIs(kNotFound, "DEVICE_UNKNOWN"));
  EXPECT_THAT(set("somewhere", "floor", "2"), StatusIs(kInvalidArgument, "NAME_INVALID"));
}

// HOME-1, HOME-9
TEST_F(FleetTest, WhatWasRefusedAndWhatAGatewayNoticedIsListedAsEvidence) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  for (int i = 0; i < 2; ++i) {
    const std::string nonce = home.Challenge();
    ASSERT_OK(home.Submit(nonce, {home.Sign(home.Report(serial, nonce), NewSigner())}));
  }
  const std::string nonce = home.Challenge();
  trust::GatewayManifest manifest = home.Manifest(nonce, {});
  manifest.incidents.push_back({"METADATA_ROLLBACK", "device-9", "", "the server offers an old snapshot", 3});
  ASSERT_OK(home.Submit(home.SignManifest(manifest)));

  v1::ListRefusedReportsRequest request;
  request.set_parent("gateways/" + home.id);
  request.set_page_size(1);
  std::vector<v1::RefusedReport> reports;
  do {
    ASSERT_OK_AND_ASSIGN(const v1::ListRefusedReportsResponse page,
                         Call(*operator_, &Stub::ListRefusedReports, request));
    reports.insert(reports.end(), page.reports().begin(), page.reports().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  ASSERT_EQ(reports.size(), 3u);
  EXPECT_EQ(reports[0].reason(), "METADATA_ROLLBACK");
  EXPECT_THAT(reports[0].message(), HasSubstr("old snapshot"));
  EXPECT_THAT(reports[0].message(), HasSubstr("device-9"));
  EXPECT_EQ(reports[0].report(), "");
  EXPECT_EQ(reports[1].reason(), "SIGNATURE_INVALID");
  EXPECT_EQ(reports[1].manifest_counter(), 2);
  EXPECT_THAT(reports[1].report(), HasSubstr(serial));
  request.set_parent("gateways/nowhere");
  EXPECT_THAT(Call(*operator_, &Stub::ListRefusedReports, request), StatusIs(kNotFound, "GATEWAY_UNKNOWN"));
}

}  // namespace
}  // namespace countersign::inventory
