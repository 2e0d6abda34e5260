#include "common/rpc/mutation.h"

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::rpc {
namespace {

TEST(MutationTest, ARequestIdIsAUuid) {
  EXPECT_OK(CheckRequestId("0b9f2c5e-6a3d-4c1b-9e57-3f0a8d2b4c66"));
  for (const std::string bad :
       {"", "1", "0b9f2c5e6a3d4c1b9e573f0a8d2b4c66", "0b9f2c5e-6a3d-4c1b-9e57-3f0a8d2b4c6x"}) {
    EXPECT_THAT(CheckRequestId(bad), StatusIs(absl::StatusCode::kInvalidArgument, "REQUEST_ID_INVALID"))
        << bad;
  }
}

}  // namespace
}  // namespace countersign::rpc
