#include "common/trust/keys.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/trust/canonical_json.h"
#include "common/trust/key_json.h"
#include "common/trust/reasons.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {

nlohmann::json KeyToJson(const crypto::PublicKey& key) {
  return {{"keytype", std::string(key.TufKeyType())},
          {"keyval", {{"public", key.TufPublic()}}},
          {"scheme", std::string(key.TufScheme())}};
}

std::string KeyId(const crypto::PublicKey& key) { return crypto::Sha256Hex(CanonicalJson(KeyToJson(key))); }

KeyMap MakeKeyMap(std::initializer_list<crypto::PublicKey> keys) {
  KeyMap map;
  for (const crypto::PublicKey& key : keys) map.emplace(KeyId(key), key);
  return map;
}

absl::Status CheckKeysDistinct(const KeyMap& keys) {
  std::map<std::string, std::string> id_by_der;
  for (const auto& [id, key] : keys) {
    const auto [first, inserted] = id_by_der.emplace(key.Der(), id);
    if (!inserted) {
      return Refuse(kDuplicateKey,
                    absl::StrCat("key ids ", first->second, " and ", id, " are the same public key"));
    }
  }
  return absl::OkStatus();
}

}  // namespace countersign::trust
