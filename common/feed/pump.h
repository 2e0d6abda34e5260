#ifndef COUNTERSIGN_COMMON_FEED_PUMP_H_
#define COUNTERSIGN_COMMON_FEED_PUMP_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <deque>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/feed/follower.h"
#include "common/rpc/status_grpc.h"

// For the .cc files of clients whose service has a Watch stream.
namespace countersign::feed {

// Reads `reader` to its end and gives `sink` what has come so far in one piece, so that a transaction takes
// many events when many are there and one when there is one. Returns why the stream ended.
template <typename Response>
absl::Status PumpWatch(grpc::ClientContext& context, grpc::ClientReaderInterface<Response>& reader,
                       const std::function<Event(const Response&)>& convert, const Follower::Sink& sink,
                       std::stop_token stop) {
  constexpr size_t kMaxBatch = 200;
  constexpr size_t kMaxQueued = 1000;
  absl::Mutex mutex;
  std::deque<Event> queue;
  bool ended = false;
  grpc::Status finished;

  std::stop_callback on_stop(stop, [&context] { context.TryCancel(); });
  std::jthread source([&] {
    Response response;
    while (reader.Read(&response)) {
      Event event = convert(response);
      absl::MutexLock lock(&mutex);
      const auto has_room = [&] { return queue.size() < kMaxQueued || ended; };
      mutex.Await(absl::Condition(&has_room));
      if (ended) break;
      queue.push_back(std::move(event));
    }
    grpc::Status status = reader.Finish();
    absl::MutexLock lock(&mutex);
    ended = true;
    finished = std::move(status);
  });

  std::vector<Event> batch;
  while (true) {
    batch.clear();
    {
      absl::MutexLock lock(&mutex);
      const auto has_news = [&] { return !queue.empty() || ended; };
      mutex.Await(absl::Condition(&has_news));
      if (queue.empty()) return rpc::FromGrpc(finished);
      while (!queue.empty() && batch.size() < kMaxBatch) {
        batch.push_back(std::move(queue.front()));
        queue.pop_front();
      }
    }
    if (const absl::Status status = sink(batch, batch.back().token); !status.ok()) {
      context.TryCancel();
      absl::MutexLock lock(&mutex);
      ended = true;  // the source stops waiting for room; it is joined on the way out
      return status;
    }
  }
}

}  // namespace countersign::feed

#endif  // COUNTERSIGN_COMMON_FEED_PUMP_H_
