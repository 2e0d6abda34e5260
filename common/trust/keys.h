#ifndef COUNTERSIGN_COMMON_TRUST_KEYS_H_
#define COUNTERSIGN_COMMON_TRUST_KEYS_H_

#include <map>
#include <string>

#include "common/crypto/public_key.h"

namespace countersign::trust {

// Public keys by key id.
using KeyMap = std::map<std::string, crypto::PublicKey>;

// The key id: lower-case hex SHA-256 of the canonical {keytype, keyval: {public}, scheme} (TUF 4.2.1).
std::string KeyId(const crypto::PublicKey& key);

// {KeyId(key): key} for each.
KeyMap MakeKeyMap(std::initializer_list<crypto::PublicKey> keys);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_KEYS_H_
