#include "services/rollout/workers/hint_fanout.h"

#include "common/feed/outbox.h"
#include "common/status/macros.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {
namespace {

constexpr int kBatch = 1000;

}  // namespace

absl::StatusOr<bool> HintFanout::Round(std::stop_token) {
  if (!token_.has_value()) {
    ASSIGN_OR_RETURN(token_, feed::Head(database_));
    // What was written since the streams looked for themselves may be before this position.
    hub_.PublishToAll(HintHub::kMetadata | HintHub::kPrompts);
  }
  const absl::StatusOr<feed::Page> page = feed::Read(database_, *token_, kBatch);
  if (absl::IsOutOfRange(page.status())) {
    token_.reset();
    return true;
  }
  if (!page.ok()) return page.status();
  for (const feed::Event& event : page->events) {
    if (event.kind != kHintKind) continue;
    hub_.Publish(event.key, event.payload == kHintPrompts ? HintHub::kPrompts : HintHub::kMetadata);
  }
  token_ = page->next_token;
  return page->events.size() == kBatch;
}

}  // namespace countersign::rollout
