#include "common/crypto/pkcs11/key_sessions.h"

#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/crypto/pkcs11/errors.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto::pkcs11 {
namespace {

// Of each key: tokens with few sessions (16 is a small one's) shall do for all keys of a service.
constexpr int kMaxSessions = 4;
constexpr absl::Duration kRetryInterval = absl::Seconds(1);
// A restart disturbs the module's other users: ever rarer while it does not help.
constexpr absl::Duration kFirstRestartInterval = absl::Seconds(1);
constexpr absl::Duration kMaxRestartInterval = absl::Seconds(30);

struct OpenKey {
  Session session;
  CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
  uint64_t generation = 0;
};

}  // namespace

struct KeySessions::State {
  explicit State(Module::Ptr loaded) : module(std::move(loaded)) {}

  // Waits for a turn; nullopt: there is no session to take over.
  std::optional<OpenKey> Take() {
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(
        +[](State* state) { return state->taken < kMaxSessions; }, this));
    ++taken;
    if (idle.empty()) return std::nullopt;
    const OpenKey key = idle.back();
    idle.pop_back();
    return key;
  }

  void GiveBack(const std::optional<OpenKey>& key) {
    absl::MutexLock lock(&mutex);
    --taken;
    if (key.has_value()) idle.push_back(*key);
  }

  const uint64_t process = ProcessGeneration();
  const Module::Ptr module;

  absl::Mutex mutex;
  int taken ABSL_GUARDED_BY(mutex) = 0;  // turns; idle ones are not among them, so that these are the bound
  std::vector<OpenKey> idle ABSL_GUARDED_BY(mutex);
  absl::Status fault ABSL_GUARDED_BY(mutex);
  absl::Time retry_at ABSL_GUARDED_BY(mutex) = absl::InfinitePast();
  absl::Time restart_at ABSL_GUARDED_BY(mutex) = absl::InfinitePast();
  absl::Duration restart_interval ABSL_GUARDED_BY(mutex) = kFirstRestartInterval;
};

KeySessions::KeySessions(Uri uri, Find find, const Clock& clock, bool log_in)
    : uri_(std::move(uri)), find_(std::move(find)), clock_(clock), log_in_(log_in) {}

KeySessions::~KeySessions() {
  State* const state = state_;
  // The parent's: its locks may be held by threads that this process does not have.
  if (state == nullptr || state->process != ProcessGeneration()) return;
  {
    const Module::Use use(*state->module);
    absl::MutexLock lock(&state->mutex);
    for (const OpenKey& key : state->idle) {
      if (use.status().ok() && key.generation == use.generation()) use->C_CloseSession(key.session.handle);
    }
  }
  delete state;
}

absl::StatusOr<KeySessions::State*> KeySessions::Current() const {
  State* state = state_;
  if (state != nullptr && state->process == ProcessGeneration()) return state;
  ASSIGN_OR_RETURN(Module::Ptr module, Module::Load(uri_.module_path));
  auto made = std::make_unique<State>(std::move(module));
  // Of several threads that come here first one wins; a parent's state is left alone.
  if (state_.compare_exchange_strong(state, made.get())) return made.release();
  return state;
}

absl::Status KeySessions::Attempt(State& state, const Body& body, bool fresh, uint64_t& generation) const {
  std::optional<OpenKey> key = state.Take();
  absl::Status status;
  {
    const Module::Use use(*state.module);
    generation = use.generation();
    status = use.status();
    if (key.has_value() && key->generation != generation) key.reset();
    if (key.has_value() && fresh) {
      if (status.ok()) use->C_CloseSession(key->session.handle);
      key.reset();
    }
    if (status.ok() && !key.has_value()) {
      absl::StatusOr<Session> session = OpenSession(use, uri_, {.log_in = log_in_});
      status = session.status();
      if (session.ok()) {
        key = OpenKey{*session, CK_INVALID_HANDLE, generation};
        absl::StatusOr<CK_OBJECT_HANDLE> object = find_(use, *session);
        status = object.status();
        if (object.ok()) key->object = *object;
      }
    }
    if (status.ok()) status = body({use, key->session, key->object});
    // An operation may still be active in it, or it may be dead.
    if (!status.ok() && key.has_value()) {
      use->C_CloseSession(key->session.handle);
      key.reset();
    }
  }
  state.GiveBack(key);
  return status;
}

absl::Status KeySessions::Settle(State& state, const absl::Status& status) const {
  absl::MutexLock lock(&state.mutex);
  if (status.ok()) {
    state.fault = absl::OkStatus();
    state.restart_interval = kFirstRestartInterval;
    state.restart_at = absl::InfinitePast();
  } else if (ReasonOf(status) != kDataRefused) {
    state.fault = status;
    state.retry_at = clock_.Now() + kRetryInterval;
  }
  return status;
}

absl::Status KeySessions::Run(const Body& body) const {
  ASSIGN_OR_RETURN(State* const current, Current());
  State& state = *current;
  {
    absl::MutexLock lock(&state.mutex);
    if (!state.fault.ok()) {
      const absl::Time now = clock_.Now();
      if (now < state.retry_at && state.retry_at - now <= kRetryInterval) return state.fault;
      state.retry_at = now + kRetryInterval;  // this thread's turn
    }
  }
  uint64_t generation;
  absl::Status status = Attempt(state, body, /*fresh=*/false, generation);
  if (!MayPass(status)) return Settle(state, status);
  status = Attempt(state, body, /*fresh=*/true, generation);
  if (!MayPass(status)) return Settle(state, status);
  {
    absl::MutexLock lock(&state.mutex);
    const absl::Time now = clock_.Now();
    if (now < state.restart_at && state.restart_at - now <= kMaxRestartInterval) {
      state.fault = status;
      return status;
    }
    state.restart_at = now + state.restart_interval;
    state.restart_interval = std::min(2 * state.restart_interval, kMaxRestartInterval);
  }
  status = state.module->Restart(generation);
  if (status.ok()) status = Attempt(state, body, /*fresh=*/true, generation);
  return Settle(state, status);
}

absl::Status KeySessions::fault() const {
  State* const state = state_;
  if (state == nullptr || state->process != ProcessGeneration()) return absl::OkStatus();
  absl::MutexLock lock(&state->mutex);
  return state->fault;
}

}  // namespace countersign::crypto::pkcs11
