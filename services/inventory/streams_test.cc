// What is streamed and watched.
#include "services/inventory/testing/world.h"

namespace countersign::inventory {
namespace {

class StreamsTest : public WorldTest {};

TEST_F(StreamsTest, TheStreamHasEverySelectedComponentOnce) {
  Home home = NewHome();
  std::set<std::string> serials;
  for (int i = 0; i < 16; ++i) {
    v1::CreateDeviceRequest request = DeviceRequest(home, absl::StrCat("d", i));
    for (int j = 0; j < 32; ++j) {
      const std::string serial = NewId("SN");
      serials.insert(serial);
      v1::Component& component = *request.mutable_device()->add_components();
      component.set_ecu_serial(serial);
      component.set_hardware_id("hw-1");
      component.set_constrained(true);
    }
    ASSERT_OK(Call(*operator_, &Stub::CreateDevice, request));
  }
  rpc::CallContext context(absl::Seconds(30));
  v1::StreamComponentsRequest request;
  request.set_filter("gateway = " + home.id);
  const auto reader = operator_->StreamComponents(context.get(), request);
  std::vector<std::string> found;
  int messages = 0;
  v1::StreamComponentsResponse message;
  while (reader->Read(&message)) {
    ++messages;
    EXPECT_LE(message.components_size(), 500);
    for (const v1::Component& component : message.components()) found.push_back(component.ecu_serial());
  }
  EXPECT_OK(rpc::FromGrpc(reader->Finish()));
  EXPECT_EQ(messages, 2);
  EXPECT_EQ(found, std::vector<std::string>(serials.begin(), serials.end()));
}

TEST_F(StreamsTest, WatchersSeeWhatIsAndThenWhatHappens) {
  Home home = NewHome();
  const std::string serial = AddDevice(home);
  const std::unique_ptr<Stub> service = world_->StubAs({Role::kService, "rollout"});
  std::string token;
  {
    rpc::CallContext context(absl::Seconds(30));
    const auto reader = service->WatchComponents(context.get(), v1::WatchComponentsRequest());
    v1::WatchComponentsResponse change;
    do {
      ASSERT_TRUE(reader->Read(&change));
    } while (change.component().ecu_serial() != serial);
    EXPECT_EQ(change.component().state(), v1::Component::STATE_UNVERIFIED);
    std::string nonce = home.Challenge();
    ASSERT_OK(home.Submit(nonce, {home.SignedReport(serial, nonce)}));
    ASSERT_TRUE(reader->Read(&change));
    EXPECT_EQ(change.component().ecu_serial(), serial);
    EXPECT_EQ(change.component().state(), v1::Component::STATE_VERIFIED);
    EXPECT_EQ(change.component().installed().version(), "1.0.0");
    EXPECT_TRUE(change.has_change_time());
    token = change.resume_token();
    context->TryCancel();
    while (reader->Read(&change)) {
    }
    reader->Finish();
  }
  std::string nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.SignedReport(serial, nonce)}));  // says nothing new
  nonce = home.Challenge();
  ASSERT_OK(home.Submit(nonce, {home.Sign(home.Report(serial, nonce), NewSigner())}));
  rpc::CallContext context(absl::Seconds(30));
  v1::WatchComponentsRequest request;
  request.set_resume_token(token);
  const auto reader = service->WatchComponents(context.get(), request);
  v1::WatchComponentsResponse change;
  ASSERT_TRUE(reader->Read(&change));
  EXPECT_EQ(change.component().ecu_serial(), serial);
  EXPECT_EQ(change.component().state(), v1::Component::STATE_COMPROMISED);
  context->TryCancel();
  while (reader->Read(&change)) {
  }
  reader->Finish();
}

}  // namespace
}  // namespace countersign::inventory
