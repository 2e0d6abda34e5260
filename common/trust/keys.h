#ifndef COUNTERSIGN_COMMON_TRUST_KEYS_H_
#define COUNTERSIGN_COMMON_TRUST_KEYS_H_

#include <initializer_list>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "common/crypto/public_key.h"

namespace countersign::trust {

// Public keys by key id.
using KeyMap = std::map<std::string, crypto::PublicKey>;

// The key id: lower-case hex SHA-256 of the canonical {keytype, keyval: {public}, scheme} (TUF 4.2.1).
std::string KeyId(const crypto::PublicKey& key);

// {KeyId(key): key} for each.
KeyMap MakeKeyMap(std::initializer_list<crypto::PublicKey> keys);

// DUPLICATE_KEY if one public key stands under two ids (its PEM written in two ways): the count is of keys,
// not of ids.
absl::Status CheckKeysDistinct(const KeyMap& keys);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_KEYS_H_
