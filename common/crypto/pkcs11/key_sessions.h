#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_KEY_SESSIONS_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_KEY_SESSIONS_H_

#include <atomic>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock/clock.h"
#include "common/crypto/pkcs11/module.h"
#include "common/crypto/pkcs11/token.h"
#include "common/crypto/pkcs11/uri.h"

namespace countersign::crypto::pkcs11 {

// A bounded pool of sessions in which one key of a token is ready for use, opened again by itself when the
// token was away: first with new sessions, then with the module restarted. Thread-safe; usable on both sides
// of a fork.
class KeySessions {
 public:
  // Within a session, with the key.
  struct Key {
    const Module::Use& use;
    const Session& session;
    CK_OBJECT_HANDLE object;
  };
  // Finds the key in a new session.
  using Find = std::function<absl::StatusOr<CK_OBJECT_HANDLE>(const Module::Use&, const Session&)>;
  // Works with the key; may be called again with another session when it fails with what may pass.
  using Body = std::function<absl::Status(const Key&)>;

  // `log_in`: whether the token's user is logged in first.
  KeySessions(Uri uri, Find find, const Clock& clock, bool log_in = true);
  ~KeySessions();
  KeySessions(const KeySessions&) = delete;
  KeySessions& operator=(const KeySessions&) = delete;

  // The status of `body`, or of opening. While the token is away most calls only repeat what was wrong with
  // it: one in a second tries again.
  absl::Status Run(const Body& body) const;

  // What was wrong at the last Run(), if it was wrong with token or key.
  absl::Status fault() const;

  const Uri& uri() const { return uri_; }

 private:
  struct State;

  absl::StatusOr<State*> Current() const;
  absl::Status Attempt(State& state, const Body& body, bool fresh, uint64_t& generation) const;
  absl::Status Settle(State& state, const absl::Status& status) const;

  const Uri uri_;
  const Find find_;
  const Clock& clock_;
  const bool log_in_;
  mutable std::atomic<State*> state_ = nullptr;
};

}  // namespace countersign::crypto::pkcs11

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_KEY_SESSIONS_H_
