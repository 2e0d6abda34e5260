#include "common/rpc/executor.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/rpc/status_grpc.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::rpc {
namespace {

TEST(ExecutorTest, RefusesWorkWhenItsQueueIsFullAndSaysWhenToComeBack) {
  absl::Notification started;
  absl::Notification release;
  std::atomic<int> ran = 0;
  {
    Executor executor(1, 1, absl::Milliseconds(1500));
    ASSERT_OK(executor.TrySubmit([&] {
      started.Notify();
      release.WaitForNotification();
      ++ran;
    }));
    started.WaitForNotification();
    ASSERT_OK(executor.TrySubmit([&] { ++ran; }));
    EXPECT_EQ(executor.queued(), 1);
    const absl::Status refused = executor.TrySubmit([&] { ++ran; });
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted, "SERVER_BUSY"));
    EXPECT_EQ(RetryDelayOf(refused), absl::Milliseconds(1500));
    // What continues admitted work is taken all the same.
    executor.Submit([&] { ++ran; });
    release.Notify();
  }
  EXPECT_EQ(ran, 3);
}

TEST(ExecutorTest, OneThreadRunsTasksInOrder) {
  std::vector<int> order;
  {
    Executor executor(1, 100);
    for (int i = 0; i < 50; ++i) ASSERT_OK(executor.TrySubmit([&order, i] { order.push_back(i); }));
  }
  ASSERT_EQ(order.size(), 50u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

}  // namespace
}  // namespace countersign::rpc
