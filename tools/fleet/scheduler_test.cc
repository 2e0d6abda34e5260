#include "tools/fleet/scheduler.h"

#include <algorithm>
#include <atomic>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "common/clock/clock.h"
#include "gtest/gtest.h"

namespace countersign::fleet {
namespace {

absl::Time Soon(absl::Duration in) { return SystemClock().Now() + in; }

TEST(SchedulerTest, ActorsHaveTheirTurnsInOrderOfTime) {
  absl::Mutex mutex;
  std::vector<int> order;
  absl::BlockingCounter left(3);
  Scheduler scheduler(3, 1, SystemClock(), [&](int actor) {
    absl::MutexLock lock(&mutex);
    order.push_back(actor);
    left.DecrementCount();
    return absl::InfiniteFuture();
  });
  const absl::Time time = Soon(absl::Milliseconds(50));
  scheduler.Wake(2, time + absl::Milliseconds(2));
  scheduler.Wake(0, time + absl::Milliseconds(1));
  scheduler.Wake(1, time);
  left.Wait();
  absl::MutexLock lock(&mutex);
  EXPECT_EQ(order, (std::vector<int>{1, 0, 2}));
}

TEST(SchedulerTest, ATurnIsRepeatedWhenItSaysSo) {
  std::atomic<int> turns = 0;
  absl::Notification third;
  Scheduler scheduler(1, 2, SystemClock(), [&](int) {
    if (++turns == 3) third.Notify();
    return turns < 3 ? Soon(absl::ZeroDuration()) : absl::InfiniteFuture();
  });
  scheduler.Wake(0, absl::InfinitePast());
  third.WaitForNotification();
  scheduler.Stop();
  EXPECT_EQ(turns, 3);
}

TEST(SchedulerTest, WhoIsWokenDuringATurnHasAnotherAndNeverTwoAtOnce) {
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  std::atomic<int> turns = 0;
  absl::Notification began;
  absl::Notification woken;
  absl::Notification ended;
  Scheduler scheduler(1, 4, SystemClock(), [&](int) {
    most = std::max(most.load(), ++running);
    if (++turns == 1) {
      began.Notify();
      woken.WaitForNotification();
    }
    --running;
    if (turns == 2) ended.Notify();
    return absl::InfiniteFuture();
  });
  scheduler.Wake(0, absl::InfinitePast());
  began.WaitForNotification();
  scheduler.Wake(0, absl::InfinitePast());
  scheduler.Wake(0, absl::InfinitePast());
  woken.Notify();
  ended.WaitForNotification();
  scheduler.Stop();
  EXPECT_EQ(turns, 2);
  EXPECT_EQ(most, 1);
}

TEST(SchedulerTest, ThreadsWorkAtTheSameTime) {
  absl::Barrier* const together = new absl::Barrier(4);
  absl::BlockingCounter left(4);
  Scheduler scheduler(4, 4, SystemClock(), [&](int) {
    if (together->Block()) delete together;
    left.DecrementCount();
    return absl::InfiniteFuture();
  });
  for (int i = 0; i < 4; ++i) scheduler.Wake(i, absl::InfinitePast());
  left.Wait();
}

TEST(SchedulerTest, AnEarlierWakeCountsAndALaterOneDoesNot) {
  absl::Notification turn;
  Scheduler scheduler(1, 1, SystemClock(), [&](int) {
    turn.Notify();
    return absl::InfiniteFuture();
  });
  scheduler.Wake(0, Soon(absl::Hours(1)));
  EXPECT_EQ(scheduler.Backlog().first, 0);
  scheduler.Wake(0, Soon(absl::ZeroDuration()));
  scheduler.Wake(0, Soon(absl::Hours(2)));
  turn.WaitForNotification();
}

TEST(SchedulerTest, StopWaitsForTurnsThatRunAndBeginsNone) {
  std::atomic<int> turns = 0;
  absl::Notification began;
  std::atomic<bool> ended = false;
  Scheduler scheduler(2, 1, SystemClock(), [&](int) {
    if (++turns == 1) began.Notify();
    ended = true;
    return Soon(absl::ZeroDuration());
  });
  scheduler.Wake(0, absl::InfinitePast());
  began.WaitForNotification();
  scheduler.Stop();
  EXPECT_TRUE(ended);
  const int before = turns;
  scheduler.Wake(1, absl::InfinitePast());
  EXPECT_EQ(scheduler.Backlog().first, 2) << "both would have something to do";
  EXPECT_EQ(turns, before);
}

}  // namespace
}  // namespace countersign::fleet
