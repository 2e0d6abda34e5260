#include "common/rpc/key_watch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::rpc {

struct KeyWatch::State {
  State(metrics::Registry& registry, std::vector<Key> watched, Options given)
      : options(given),
        keys(std::move(watched)),
        available(
            registry.AddGauge("countersign_signing_key_available", "Whether the key can be used.", {"key"})),
        losses(registry.AddCounter("countersign_signing_key_losses_total",
                                   "Times that the key could not be used any more.", {"key"})),
        statuses(keys.size()) {
    for (const Key& key : keys) {
      available.With({key.name}).Set(1);
      losses.With({key.name});
    }
  }

  // Returns whether all can be used.
  bool Round() {
    {
      absl::MutexLock lock(&mutex);
      began = options.clock->Now();
    }
    bool all = true;
    for (size_t i = 0; i < keys.size(); ++i) {
      const absl::Status status = keys[i].signer->Check();
      all = all && status.ok();
      Note(i, status);
    }
    absl::MutexLock lock(&mutex);
    began = absl::InfiniteFuture();
    return all;
  }

  void Note(size_t i, const absl::Status& status) {
    absl::MutexLock lock(&mutex);
    const bool was_available = std::exchange(statuses[i], status).ok();
    if (was_available == status.ok()) return;
    available.With({keys[i].name}).Set(status.ok() ? 1 : 0);
    if (status.ok()) {
      log::Info("a signing key can be used again", {{"key", keys[i].name}});
      return;
    }
    losses.With({keys[i].name}).Increment();
    log::Error("a signing key cannot be used: not ready until it is back",
               {{"key", keys[i].name}, {"status", status}});
  }

  absl::Status Readiness() {
    absl::MutexLock lock(&mutex);
    for (size_t i = 0; i < keys.size(); ++i) RETURN_IF_ERROR(Annotate(statuses[i], keys[i].name));
    if (options.clock->Now() - began <= options.patience) return absl::OkStatus();
    return Error(absl::StatusCode::kUnavailable, "TOKEN_SILENT",
                 "the token that keeps a key does not answer");
  }

  const Options options;
  const std::vector<Key> keys;
  const metrics::GaugeFamily available;
  const metrics::CounterFamily losses;
  absl::Mutex mutex;
  std::vector<absl::Status> statuses ABSL_GUARDED_BY(mutex);         // of the keys, at the last round
  absl::Time began ABSL_GUARDED_BY(mutex) = absl::InfiniteFuture();  // of the round that runs
};

KeyWatch::KeyWatch(Server& server, std::vector<Key> keys, Options options)
    : state_(std::make_shared<State>(server.registry(), std::move(keys), options)) {
  server.AddReadinessCheck("keys", [state = state_] { return state->Readiness(); });
  thread_.emplace("keys", options.interval, [&server, state = state_] {
    server.SetHealthy(state->Round());
    return absl::OkStatus();
  });
}

KeyWatch::~KeyWatch() = default;

}  // namespace countersign::rpc
