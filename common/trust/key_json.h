#ifndef COUNTERSIGN_COMMON_TRUST_KEY_JSON_H_
#define COUNTERSIGN_COMMON_TRUST_KEY_JSON_H_

#include "common/crypto/public_key.h"
#include "nlohmann/json_fwd.hpp"

namespace countersign::trust {

// The TUF key object {keytype, keyval: {public}, scheme}: exactly these, since the key id is its digest.
nlohmann::json KeyToJson(const crypto::PublicKey& key);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_KEY_JSON_H_
