// Who may provision, read and list what.
#include "services/inventory/testing/world.h"

namespace countersign::inventory {
namespace {

class AppTest : public WorldTest {};

TEST_F(AppTest, WhatIsProvisionedIsReadBack) {
  Home home = NewHome();
  v1::GetGatewayRequest get;
  get.set_name("gateways/" + home.id);
  ASSERT_OK_AND_ASSIGN(const v1::Gateway gateway, Call(*home.stub, &Stub::GetGateway, get));
  EXPECT_EQ(gateway.display_name(), "The Millers");
  EXPECT_EQ(gateway.kind(), v1::Gateway::KIND_HOME);
  EXPECT_FALSE(gateway.has_last_manifest_time());

  const std::string serial = AddDevice(home);
  v1::GetDeviceRequest get_device;
  get_device.set_name(absl::StrCat("gateways/", home.id, "/devices/device-", serial));
  ASSERT_OK_AND_ASSIGN(const v1::Device device, Call(*home.stub, &Stub::GetDevice, get_device));
  EXPECT_EQ(device.model(), "T1000");
  ASSERT_EQ(device.components_size(), 1);
  EXPECT_EQ(device.components(0).state(), v1::Component::STATE_UNVERIFIED);
  EXPECT_EQ(device.components(0).name(), absl::StrCat("gateways/", home.id, "/components/", serial));
  EXPECT_EQ(device.components(0).device(), device.name());
  EXPECT_FALSE(device.components(0).has_installed());

  get_device.set_name(absl::StrCat("gateways/", home.id, "/devices/nothing"));
  EXPECT_THAT(Call(*operator_, &Stub::GetDevice, get_device), StatusIs(kNotFound, "DEVICE_UNKNOWN"));
  get.set_name("gateways/nothing");
  EXPECT_THAT(Call(*operator_, &Stub::GetGateway, get), StatusIs(kNotFound, "GATEWAY_UNKNOWN"));
}

TEST_F(AppTest, TheSameRequestSentTwiceIsDoneOnce) {
  Home home;
  home.id = NewId("home");
  v1::CreateGatewayRequest request = GatewayRequest(home);
  ASSERT_OK_AND_ASSIGN(const v1::Gateway first, Call(*operator_, &Stub::CreateGateway, request));
  ASSERT_OK_AND_ASSIGN(const v1::Gateway second, Call(*operator_, &Stub::CreateGateway, request));
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
  request.mutable_gateway()->set_display_name("Others");
  EXPECT_THAT(Call(*operator_, &Stub::CreateGateway, request),
              StatusIs(kInvalidArgument, "REQUEST_ID_REUSED"));
  request.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*operator_, &Stub::CreateGateway, request),
              StatusIs(absl::StatusCode::kAlreadyExists, "GATEWAY_EXISTS"));
  request.set_request_id("again");
  EXPECT_THAT(Call(*operator_, &Stub::CreateGateway, request),
              StatusIs(kInvalidArgument, "REQUEST_ID_INVALID"));
}

TEST_F(AppTest, SerialNumbersAreUniqueInTheFleet) {
  Home home = NewHome();
  Home other = NewHome();
  const std::string serial = AddDevice(home);
  v1::CreateDeviceRequest request = DeviceRequest(other, "thief");
  request.mutable_device()->add_components()->set_ecu_serial(serial);
  request.mutable_device()->mutable_components(0)->set_hardware_id("hw-1");
  request.mutable_device()->mutable_components(0)->set_constrained(true);
  EXPECT_THAT(Call(*operator_, &Stub::CreateDevice, request),
              StatusIs(absl::StatusCode::kAlreadyExists, "ECU_SERIAL_TAKEN"));
  v1::GetDeviceRequest get;
  get.set_name(request.device().name());
  EXPECT_THAT(Call(*operator_, &Stub::GetDevice, get), StatusIs(kNotFound)) << "nothing of it may stay";
  request.mutable_device()->set_name("gateways/unknown-gateway/devices/d");
  request.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*operator_, &Stub::CreateDevice, request), StatusIs(kNotFound, "GATEWAY_UNKNOWN"));
}

TEST_F(AppTest, EachSeesItsOwn) {
  Home home = NewHome();
  Home other = NewHome();
  const std::string serial = AddDevice(home);
  const std::unique_ptr<Stub> acme = world_->StubAs({Role::kManufacturer, "acme"});
  const std::unique_ptr<Stub> rival = world_->StubAs({Role::kManufacturer, "rival"});
  v1::GetDeviceRequest get;
  get.set_name(absl::StrCat("gateways/", home.id, "/devices/device-", serial));
  EXPECT_OK(Call(*acme, &Stub::GetDevice, get));
  EXPECT_THAT(Call(*rival, &Stub::GetDevice, get), StatusIs(kNotFound, "DEVICE_UNKNOWN"));
  EXPECT_THAT(Call(*other.stub, &Stub::GetDevice, get), StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));

  v1::GetGatewayRequest get_gateway;
  get_gateway.set_name("gateways/" + home.id);
  EXPECT_THAT(Call(*other.stub, &Stub::GetGateway, get_gateway),
              StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
  EXPECT_THAT(Call(*acme, &Stub::GetGateway, get_gateway), StatusIs(kPermissionDenied, "ROLE_NOT_ALLOWED"));

  v1::ListComponentsRequest list;
  list.set_filter(absl::StrCat("ecu_serial = ", serial));
  EXPECT_EQ(Call(*acme, &Stub::ListComponents, list)->components_size(), 1);
  EXPECT_EQ(Call(*rival, &Stub::ListComponents, list)->components_size(), 0);
  EXPECT_EQ(Call(*home.stub, &Stub::ListComponents, list)->components_size(), 1);
  EXPECT_EQ(Call(*other.stub, &Stub::ListComponents, list)->components_size(), 0);

  v1::ListDevicesRequest devices;
  devices.set_parent("gateways/-");
  EXPECT_EQ(Call(*home.stub, &Stub::ListDevices, devices)->devices_size(), 1);
  EXPECT_EQ(Call(*rival, &Stub::ListDevices, devices)->devices_size(), 0);
  devices.set_parent("gateways/" + home.id);
  EXPECT_THAT(Call(*other.stub, &Stub::ListDevices, devices),
              StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
  EXPECT_EQ(Call(*operator_, &Stub::ListDevices, devices)->devices_size(), 1);

  v1::CreateDeviceRequest create = DeviceRequest(home, "foreign");
  create.mutable_device()->add_components()->set_ecu_serial(NewId("SN"));
  create.mutable_device()->mutable_components(0)->set_hardware_id("hw-1");
  create.mutable_device()->mutable_components(0)->set_constrained(true);
  EXPECT_THAT(Call(*rival, &Stub::CreateDevice, create), StatusIs(kPermissionDenied, "NOT_YOUR_DEVICE"));
  EXPECT_OK(Call(*acme, &Stub::CreateDevice, create));
}

TEST_F(AppTest, RolesThatHaveNoRightAreRefused) {
  const auto refused = StatusIs(kPermissionDenied, "ROLE_NOT_ALLOWED");
  for (Role role : {Role::kAuthority, Role::kCse, Role::kRegistrar}) {
    const std::unique_ptr<Stub> stub = world_->StubAs({role, "somebody"});
    EXPECT_THAT(Call(*stub, &Stub::CreateGateway, v1::CreateGatewayRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::GetGateway, v1::GetGatewayRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::ListGateways, v1::ListGatewaysRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::CreateDevice, v1::CreateDeviceRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::GetDevice, v1::GetDeviceRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::ListDevices, v1::ListDevicesRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::CreateChallenge, v1::CreateChallengeRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::SubmitManifest, v1::SubmitManifestRequest()), refused);
    EXPECT_THAT(Call(*stub, &Stub::ListComponents, v1::ListComponentsRequest()), refused);
  }
  EXPECT_THAT(Call(*operator_, &Stub::CreateChallenge, v1::CreateChallengeRequest()), refused);
  EXPECT_THAT(Call(*operator_, &Stub::SubmitManifest, v1::SubmitManifestRequest()), refused);
  const std::unique_ptr<Stub> gateway = world_->StubAs({Role::kGateway, "home-x"});
  EXPECT_THAT(Call(*gateway, &Stub::CreateGateway, v1::CreateGatewayRequest()), refused);
  EXPECT_THAT(Call(*gateway, &Stub::CreateDevice, v1::CreateDeviceRequest()), refused);
  EXPECT_THAT(Call(*gateway, &Stub::ListGateways, v1::ListGatewaysRequest()), refused);
  rpc::CallContext context(absl::Seconds(10));
  v1::StreamComponentsResponse message;
  const auto reader = gateway->StreamComponents(context.get(), v1::StreamComponentsRequest());
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_THAT(rpc::FromGrpc(reader->Finish()), refused);
}

TEST_F(AppTest, ListsArePagedAndFiltered) {
  Home home = NewHome();
  std::set<std::string> serials;
  for (int i = 0; i < 5; ++i) serials.insert(AddDevice(home));
  const std::string nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(*serials.begin(), nonce)}));

  v1::ListComponentsRequest request;
  request.set_filter(absl::StrCat("gateway = \"", home.id, "\" AND kind = HOME AND manufacturer = acme"));
  request.set_page_size(2);
  std::vector<std::string> found;
  int pages = 0;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const v1::ListComponentsResponse page,
                         Call(*operator_, &Stub::ListComponents, request));
    ++pages;
    for (const v1::Component& component : page.components()) found.push_back(component.ecu_serial());
    if (page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
  }
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(found, std::vector<std::string>(serials.begin(), serials.end()));

  request.set_filter("manufacturer = acme");
  EXPECT_THAT(Call(*operator_, &Stub::ListComponents, request),
              StatusIs(kInvalidArgument, "PAGE_TOKEN_INVALID"));
  request.clear_page_token();
  const auto count = [&](const std::string& filter) {
    request.set_filter(absl::StrCat("gateway = ", home.id, " AND ", filter));
    request.set_page_size(100);
    const auto response = Call(*operator_, &Stub::ListComponents, request);
    EXPECT_OK(response) << filter;
    return response.ok() ? response->components_size() : -1;
  };
  EXPECT_EQ(count("state = VERIFIED"), 1);
  EXPECT_EQ(count("state = UNVERIFIED"), 4);
  EXPECT_EQ(count("version = \"1.0.0\""), 1);
  EXPECT_EQ(count("kind = VEHICLE"), 0);
  EXPECT_EQ(count("hardware_id = \"hw-1\" AND model = T1000"), 5);
  EXPECT_EQ(count("model = \"T1000' OR 'a'='a\""), 0);
  EXPECT_EQ(count(absl::StrCat("device = \"device-", *serials.begin(), "\"")), 1);
  request.set_filter("colour = red");
  EXPECT_THAT(Call(*operator_, &Stub::ListComponents, request), StatusIs(kInvalidArgument, "FILTER_INVALID"));

  v1::ListGatewaysRequest gateways;
  gateways.set_page_size(1);
  std::set<std::string> names;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const v1::ListGatewaysResponse page,
                         Call(*operator_, &Stub::ListGateways, gateways));
    ASSERT_EQ(page.gateways_size(), 1);
    EXPECT_TRUE(names.insert(page.gateways(0).name()).second);
    if (page.next_page_token().empty()) break;
    gateways.set_page_token(page.next_page_token());
  }
  EXPECT_TRUE(names.contains("gateways/" + home.id));

  v1::ListDevicesRequest devices;
  devices.set_parent("gateways/" + home.id);
  devices.set_page_size(4);
  ASSERT_OK_AND_ASSIGN(v1::ListDevicesResponse page, Call(*operator_, &Stub::ListDevices, devices));
  EXPECT_EQ(page.devices_size(), 4);
  EXPECT_EQ(page.devices(0).components_size(), 1);
  devices.set_page_token(page.next_page_token());
  ASSERT_OK_AND_ASSIGN(page, Call(*operator_, &Stub::ListDevices, devices));
  EXPECT_EQ(page.devices_size(), 1);
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(AppTest, TheAppIdRegistrysVerdictIsKept) {
  namespace registry = appid_registry::v1;
  rpc::Dialer dialer(world_->pki_.TlsFor({Role::kRegistrar, "ara"}));
  const auto registrar = registry::AppIdRegistryService::NewStub(dialer.Dial(
      absl::StrCat("127.0.0.1:", world_->registry_->grpc_port()), {Role::kService, "appid-registry"}));
  registry::CreateProfileRequest profile;
  profile.set_request_id(crypto::Uuid());
  profile.mutable_profile()->set_name("profiles/Ra01.com.acme.thermostat");
  profile.mutable_profile()->set_application_type("thermostat");
  profile.mutable_profile()->set_application_class(registry::Profile::APPLICATION_CLASS_CONSUMER);
  profile.mutable_profile()->set_security_capability(registry::Profile::SECURITY_CAPABILITY_SOFTWARE);
  profile.mutable_profile()->set_authentication_type(registry::Profile::AUTHENTICATION_TYPE_PRE_SHARED_KEY);
  profile.mutable_profile()->set_communications_class(registry::Profile::COMMUNICATIONS_CLASS_STREAMED);
  profile.mutable_profile()->mutable_data_model()->set_name("SDT");
  profile.mutable_profile()->mutable_data_privacy()->set_category(
      registry::Profile::PRIVACY_CATEGORY_NON_PERSONAL);
  profile.mutable_profile()->mutable_data_privacy()->set_protection_level(3);
  rpc::CallContext context(absl::Seconds(30));
  registry::Profile created;
  ASSERT_OK(rpc::FromGrpc(registrar->CreateProfile(context.get(), profile, &created)));

  Home home = NewHome();
  const auto create = [&](const std::string& app_id) {
    v1::CreateDeviceRequest request = DeviceRequest(home, NewId("device"));
    request.mutable_device()->set_app_id(app_id);
    request.mutable_device()->add_components()->set_ecu_serial(NewId("SN"));
    request.mutable_device()->mutable_components(0)->set_hardware_id("hw-1");
    request.mutable_device()->mutable_components(0)->set_constrained(true);
    return Call(*operator_, &Stub::CreateDevice, request);
  };
  EXPECT_EQ(create("Ra01.com.acme.thermostat")->app_id_status(), v1::Device::APP_ID_STATUS_REGISTERED);
  ASSERT_OK_AND_ASSIGN(const v1::Device unheard, create("Ra01.com.acme.unheard"));
  EXPECT_EQ(unheard.app_id_status(), v1::Device::APP_ID_STATUS_NOT_REGISTERED);
  ASSERT_GE(unheard.app_id_findings_size(), 1);
  EXPECT_EQ(unheard.app_id_findings(0).code(), "NOT_REGISTERED");
  EXPECT_NE(unheard.app_id_findings(0).message(), "");
  EXPECT_EQ(create("")->app_id_status(), v1::Device::APP_ID_STATUS_UNSPECIFIED);
  EXPECT_THAT(create("nonsense"), StatusIs(kInvalidArgument, "APP_ID_MALFORMED"));
}

TEST_F(AppTest, WithoutTheRegistrysVerdictADeviceWithAnAppIdIsNotProvisioned) {
  Home home = NewHome();
  metrics::Registry metrics;
  // Who answers there is not the registry, and its certificate says so.
  const std::unique_ptr<App> replica = world_->StartReplica(metrics, world_->app_->grpc_port());
  const std::unique_ptr<Stub> stub = world_->StubAs({Role::kOperator, "alice"}, *replica);
  v1::CreateDeviceRequest request = DeviceRequest(home, "d");
  request.mutable_device()->add_components()->set_ecu_serial(NewId("SN"));
  request.mutable_device()->mutable_components(0)->set_hardware_id("hw-1");
  request.mutable_device()->mutable_components(0)->set_constrained(true);
  request.mutable_device()->set_app_id("Ra01.com.acme.thermostat");
  const auto refused = Call(*stub, &Stub::CreateDevice, request);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnavailable, "APP_ID_REGISTRY_UNAVAILABLE"));
  // The same request later, to a replica that reaches it.
  EXPECT_OK(Call(*operator_, &Stub::CreateDevice, request));
}

}  // namespace
}  // namespace countersign::inventory
