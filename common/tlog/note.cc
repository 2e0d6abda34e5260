#include "common/tlog/note.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/crypto/base64.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/status/macros.h"
#include "common/tlog/reasons.h"

namespace countersign::tlog {
namespace {

constexpr char kEd25519[] = "\x01";  // the signature type
constexpr char kDash[] = "\xe2\x80\x94 ";
constexpr size_t kIdSize = 4;
constexpr size_t kKeySize = 32;
constexpr size_t kMaxNoteSize = 1 << 20;
constexpr size_t kMaxSignatures = 64;

absl::Status Malformed(absl::string_view message) { return Refuse(kMalformed, message); }

// Takes one code point of well-formed UTF-8 (Unicode, table 3-7) from the front of `text`; false if there is
// none.
bool TakeCodePoint(absl::string_view& text, uint32_t& code) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t size = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if ((first >= 0x80 && first < 0xc2) || first > 0xf4 || text.size() < size) return false;
  code = size == 1 ? first : first & (0xff >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return false;
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
  text.remove_prefix(size);
  return true;
}

// Unicode's White_Space.
bool IsSpace(uint32_t code) {
  return code == ' ' || (code >= 0x09 && code <= 0x0d) || code == 0x85 || code == 0xa0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f ||
         code == 0x205f || code == 0x3000;
}

bool IsNoteText(absl::string_view text) {
  for (uint32_t code = 0; !text.empty();) {
    if (!TakeCodePoint(text, code) || (code < 0x20 && code != '\n')) return false;
  }
  return true;
}

bool IsKeyName(absl::string_view name) {
  if (name.empty()) return false;
  for (uint32_t code = 0; !name.empty();) {
    if (!TakeCodePoint(name, code) || IsSpace(code) || code < 0x20 || code == '+') return false;
  }
  return true;
}

// The 32 bytes that RFC 8032 writes.
std::string RawKey(const crypto::PublicKey& key) {
  return crypto::HexDecode(key.TufPublic()).value_or(std::string());
}

std::string EncodeId(uint32_t id) {
  std::string bytes(kIdSize, '\0');
  for (size_t i = 0; i < kIdSize; ++i) bytes[i] = static_cast<char>(id >> (8 * (kIdSize - 1 - i)));
  return bytes;
}

uint32_t DecodeId(absl::string_view bytes) {
  uint32_t id = 0;
  for (size_t i = 0; i < kIdSize; ++i) id = id << 8 | static_cast<unsigned char>(bytes[i]);
  return id;
}

}  // namespace

VerifierKey::VerifierKey(absl::string_view name, crypto::PublicKey key)
    : name_(name),
      key_(std::move(key)),
      id_(DecodeId(crypto::Sha256(absl::StrCat(name_, "\n", kEd25519, RawKey(key_))))) {}

absl::StatusOr<VerifierKey> VerifierKey::Make(absl::string_view name, const crypto::PublicKey& key) {
  if (!IsKeyName(name)) return Malformed("a note's key has a name without spaces and plus signs");
  if (key.type() != crypto::KeyType::kEd25519) return Malformed("a note's key is an Ed25519 key");
  return VerifierKey(name, key);
}

absl::StatusOr<VerifierKey> VerifierKey::Parse(absl::string_view vkey) {
  const std::vector<absl::string_view> parts = absl::StrSplit(vkey, absl::MaxSplits('+', 2));
  if (parts.size() != 3) return Malformed("a vkey is <name>+<key id>+<key>");
  const absl::StatusOr<std::string> key = crypto::Base64Decode(parts[2]);
  if (!key.ok() || key->size() != 1 + kKeySize || (*key)[0] != kEd25519[0]) {
    return Malformed("the vkey's key is not an Ed25519 key in Base64");
  }
  ASSIGN_OR_RETURN(const crypto::PublicKey public_key,
                   crypto::PublicKey::FromTuf("ed25519", "ed25519", crypto::HexEncode(key->substr(1))));
  ASSIGN_OR_RETURN(VerifierKey verifier, Make(parts[0], public_key));
  if (crypto::HexEncode(EncodeId(verifier.id())) != parts[1]) {
    return Malformed("the vkey's key id is not that of its name and key");
  }
  return verifier;
}

std::string VerifierKey::Format() const {
  return absl::StrCat(name_, "+", crypto::HexEncode(EncodeId(id_)), "+",
                      crypto::Base64Encode(absl::StrCat(kEd25519, RawKey(key_))));
}

absl::StatusOr<Note> Note::Parse(absl::string_view bytes) {
  if (bytes.size() > kMaxNoteSize) return Malformed("the note is larger than 1 MiB");
  if (!IsNoteText(bytes)) return Malformed("the note is not UTF-8, or has control characters");
  const size_t blank = bytes.rfind("\n\n");
  if (blank == absl::string_view::npos) return Malformed("the note has no signatures");
  absl::string_view lines = bytes.substr(blank + 2);
  Note note{std::string(bytes.substr(0, blank + 1)), {}};
  if (!absl::ConsumeSuffix(&lines, "\n")) return Malformed("the note has no newline at its end");
  for (absl::string_view line : absl::StrSplit(lines, '\n')) {
    if (!absl::ConsumePrefix(&line, kDash)) return Malformed("a line of the note is no signature");
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    const absl::StatusOr<std::string> signature = crypto::Base64Decode(parts.second);
    if (!IsKeyName(parts.first) || !signature.ok() || signature->size() <= kIdSize) {
      return Malformed("a signature of the note has no name, or is not Base64 of key id and signature");
    }
    if (note.signatures.size() == kMaxSignatures) return Malformed("the note has more than 64 signatures");
    note.signatures.push_back({std::string(parts.first), DecodeId(*signature), signature->substr(kIdSize)});
  }
  return note;
}

absl::Status Note::VerifyBy(const VerifierKey& key) const {
  bool found = false;
  for (const NoteSignature& signature : signatures) {
    if (signature.name != key.name() || signature.id != key.id()) continue;
    found = true;
    if (!key.key().Verify(text, signature.bytes).ok()) {
      return Refuse(kSignatureInvalid,
                    absl::StrCat("the note's signature in the name of ", key.name(), " is not its key's"));
    }
  }
  if (found) return absl::OkStatus();
  return Refuse(kSignatureInvalid, absl::StrCat("the note is not signed by ", key.Format()));
}

absl::StatusOr<std::string> SignNote(absl::string_view text, absl::string_view name,
                                     const crypto::Signer& signer) {
  ASSIGN_OR_RETURN(const VerifierKey key, VerifierKey::Make(name, signer.public_key()));
  if (!absl::EndsWith(text, "\n") || !IsNoteText(text)) {
    return Malformed("a note's text is UTF-8 without control characters, and ends in a newline");
  }
  ASSIGN_OR_RETURN(const std::string signature, signer.Sign(text));
  return absl::StrCat(text, "\n", kDash, name, " ",
                      crypto::Base64Encode(absl::StrCat(EncodeId(key.id()), signature)), "\n");
}

}  // namespace countersign::tlog
