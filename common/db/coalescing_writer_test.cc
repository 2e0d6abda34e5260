#include "common/db/coalescing_writer.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "common/db/database.h"
#include "common/db/sql.h"
#include "common/db/testing/test_cluster.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::db {
namespace {

using ::testing::ElementsAre;
using ::testing::Lt;
using ::testing::SizeIs;

struct Write {
  int64_t key = 0;
  int64_t result = 0;
};

class CoalescingWriterTest : public ::testing::Test {
 protected:
  CoalescingWriterTest() : database_({.conninfo = TestCluster::Shared().CreateDatabase()}) {
    EXPECT_OK(database_.RunInTransaction("Create", [](Transaction& tx) {
      tx.exec("CREATE TABLE t (k bigint PRIMARY KEY CHECK (k <> 13))");
      return absl::OkStatus();
    }));
  }

  absl::Status Flush(absl::Span<Write> writes, absl::Span<absl::Status> outcomes) {
    batches_.push_back(writes.size());
    if (block_next_.has_value()) {
      std::shared_ptr<absl::Notification> block = *std::exchange(block_next_, std::nullopt);
      reached_.Notify();
      block->WaitForNotification();
    }
    return database_.RunInTransaction("Flush", [&](Transaction& tx) {
      std::vector<int64_t> keys;
      for (std::size_t i = 0; i < writes.size(); ++i) {
        if (writes[i].key < 0) {
          outcomes[i] = absl::FailedPreconditionError("negative");
        } else {
          keys.push_back(writes[i].key);
          writes[i].result = writes[i].key * 2;
        }
      }
      ExecPrepared(tx, "test.flush", "INSERT INTO t SELECT unnest($1::bigint[])", BigintArray(keys));
      return absl::OkStatus();
    });
  }

  std::unique_ptr<CoalescingWriter<Write>> MakeWriter(CoalescingWriter<Write>::Options options = {}) {
    return std::make_unique<CoalescingWriter<Write>>(
        options, [this](absl::Span<Write> writes, absl::Span<absl::Status> outcomes) {
          return Flush(writes, outcomes);
        });
  }

  // Submits key 1000 and returns when its flush has begun, so that what comes next gathers until `released`.
  std::shared_ptr<absl::Notification> Block(CoalescingWriter<Write>& writer) {
    auto released = std::make_shared<absl::Notification>();
    block_next_ = released;
    writer.Submit({.key = 1000}, [](const absl::Status& status, Write&) { EXPECT_OK(status); });
    reached_.WaitForNotification();
    return released;
  }

  int Count() {
    return *database_.Read("Count", [](Reader& reader) {
      return absl::StatusOr<int>(reader.exec1("SELECT count(*) FROM t")[0].as<int>());
    });
  }

  Database database_;
  std::vector<std::size_t> batches_;
  std::optional<std::shared_ptr<absl::Notification>> block_next_;
  absl::Notification reached_;
};

TEST_F(CoalescingWriterTest, WhatComesDuringACommitSharesTheNext) {
  auto writer = MakeWriter({.max_batch = 60});
  std::shared_ptr<absl::Notification> released = Block(*writer);
  absl::BlockingCounter done(100);
  for (int i = 0; i < 100; ++i) {
    writer->Submit({.key = i + 2000}, [&, i](const absl::Status& status, Write& write) {
      EXPECT_OK(status);
      EXPECT_EQ(write.result, (i + 2000) * 2);
      done.DecrementCount();
    });
  }
  released->Notify();
  done.Wait();
  EXPECT_THAT(batches_, ElementsAre(1, 60, 40));
  EXPECT_EQ(Count(), 101);
}

TEST_F(CoalescingWriterTest, ABatchThatIsNotFullWaitsForCompanyAndNotWhenItStops) {
  const auto writer = MakeWriter({.max_batch = 2, .linger = absl::Hours(1)});
  absl::BlockingCounter full(2);
  for (int64_t key : {1, 2}) {
    writer->Submit({.key = key}, [&](const absl::Status& status, Write&) {
      EXPECT_OK(status);
      full.DecrementCount();
    });
  }
  full.Wait();
  EXPECT_THAT(batches_, ElementsAre(2));
  writer->Submit({.key = 3}, [](const absl::Status& status, Write&) { EXPECT_OK(status); });
  writer->Stop();
  EXPECT_THAT(batches_, ElementsAre(2, 1));
  EXPECT_EQ(Count(), 3);
}

TEST_F(CoalescingWriterTest, OnePoisonedItemFailsAlone) {
  auto writer = MakeWriter();
  std::shared_ptr<absl::Notification> released = Block(*writer);
  std::vector<absl::StatusCode> codes(500);
  absl::BlockingCounter done(500);
  for (int i = 0; i < 500; ++i) {
    writer->Submit({.key = i}, [&, i](const absl::Status& status, Write&) {
      codes[i] = status.code();
      done.DecrementCount();
    });
  }
  released->Notify();
  done.Wait();
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(codes[i], i == 13 ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kOk) << i;
  }
  EXPECT_EQ(Count(), 500);
  EXPECT_THAT(batches_, SizeIs(Lt(25)));
}

TEST_F(CoalescingWriterTest, TheFlushMayRefuseOneItemAndCommitTheOthers) {
  auto writer = MakeWriter();
  std::shared_ptr<absl::Notification> released = Block(*writer);
  absl::BlockingCounter done(2);
  writer->Submit({.key = -1}, [&](const absl::Status& status, Write&) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
    done.DecrementCount();
  });
  writer->Submit({.key = 1}, [&](const absl::Status& status, Write&) {
    EXPECT_OK(status);
    done.DecrementCount();
  });
  released->Notify();
  done.Wait();
  EXPECT_THAT(batches_, ElementsAre(1, 2));
  EXPECT_EQ(Count(), 2);
}

TEST_F(CoalescingWriterTest, WhenTheDatabaseIsAwayTheWholeBatchFailsAtOnce) {
  int flushes = 0;
  absl::BlockingCounter done(3);
  absl::Notification first, go_on;
  CoalescingWriter<Write> writer({}, [&](absl::Span<Write>, absl::Span<absl::Status>) {
    if (++flushes == 1) {
      first.Notify();
      go_on.WaitForNotification();
    }
    return absl::UnavailableError("away");
  });
  for (int i = 0; i < 3; ++i) {
    writer.Submit({.key = i}, [&](const absl::Status& status, Write&) {
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
      done.DecrementCount();
    });
    if (i == 0) first.WaitForNotification();
  }
  go_on.Notify();
  done.Wait();
  EXPECT_EQ(flushes, 2);
}

TEST_F(CoalescingWriterTest, AFullQueueRefusesAtOnce) {
  auto writer = MakeWriter({.max_queued = 2});
  std::shared_ptr<absl::Notification> released = Block(*writer);
  const auto ok = [](const absl::Status& status, Write&) { EXPECT_OK(status); };
  writer->Submit({.key = 1}, ok);
  writer->Submit({.key = 2}, ok);
  bool refused = false;
  writer->Submit({.key = 3}, [&](const absl::Status& status, Write& write) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "WRITE_QUEUE_FULL"));
    EXPECT_EQ(write.key, 3);
    refused = true;
  });
  EXPECT_TRUE(refused);
  released->Notify();
  writer->Stop();
  EXPECT_EQ(Count(), 3);
}

TEST_F(CoalescingWriterTest, StopWritesWhatIsQueuedAndRefusesTheRest) {
  auto writer = MakeWriter();
  int done = 0;
  for (int i = 0; i < 5; ++i) {
    writer->Submit({.key = i}, [&](const absl::Status& status, Write&) {
      EXPECT_OK(status);
      ++done;
    });
  }
  writer->Stop();
  EXPECT_EQ(done, 5);
  EXPECT_EQ(Count(), 5);
  absl::Status refusal;
  writer->Submit({.key = 9}, [&](const absl::Status& status, Write&) { refusal = status; });
  EXPECT_THAT(refusal, StatusIs(absl::StatusCode::kUnavailable, "SHUTTING_DOWN"));
}

}  // namespace
}  // namespace countersign::db
