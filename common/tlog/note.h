#ifndef COUNTERSIGN_COMMON_TLOG_NOTE_H_
#define COUNTERSIGN_COMMON_TLOG_NOTE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/public_key.h"
#include "common/crypto/signer.h"

// Signed notes (https://c2sp.org/signed-note) with Ed25519 keys.
namespace countersign::tlog {

// A note's key: an Ed25519 public key with a name. A value; immutable.
class VerifierKey {
 public:
  // From a vkey, "<name>+<key id in hex>+<base64 of type and key>". INVALID_ARGUMENT (LOG_MALFORMED) if it is
  // none, of a type other than Ed25519, or its key id is not that of name and key.
  static absl::StatusOr<VerifierKey> Parse(absl::string_view vkey);

  // INVALID_ARGUMENT (LOG_MALFORMED) if `name` is empty or has spaces or plus signs, or the key is not
  // Ed25519.
  static absl::StatusOr<VerifierKey> Make(absl::string_view name, const crypto::PublicKey& key);

  const std::string& name() const { return name_; }
  uint32_t id() const { return id_; }
  const crypto::PublicKey& key() const { return key_; }
  // The vkey.
  std::string Format() const;

 private:
  VerifierKey(absl::string_view name, crypto::PublicKey key);

  std::string name_;
  crypto::PublicKey key_;
  uint32_t id_;
};

struct NoteSignature {
  std::string name;
  uint32_t id = 0;
  std::string bytes;
};

struct Note {
  std::string text;  // with its newline; not to be believed before VerifyNote() says so
  std::vector<NoteSignature> signatures;

  // INVALID_ARGUMENT (LOG_MALFORMED) if it is no note, or larger than 1 MiB or with more than 64 signatures.
  static absl::StatusOr<Note> Parse(absl::string_view bytes);

  // OK if `key` has signed. Signatures of other keys are ignored. INVALID_ARGUMENT (LOG_HEAD_NOT_SIGNED).
  absl::Status VerifyBy(const VerifierKey& key) const;
};

// The note with `text`, signed by `signer` under the name `name`. INVALID_ARGUMENT (LOG_MALFORMED) if `text`
// is none (UTF-8 without control characters, ending in a newline) or name or key are not as
// VerifierKey::Make() wants them; the signer's errors.
absl::StatusOr<std::string> SignNote(absl::string_view text, absl::string_view name,
                                     const crypto::Signer& signer);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_COMMON_TLOG_NOTE_H_
