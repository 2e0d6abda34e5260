#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_MUTATION_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_MUTATION_H_

#include <string>

namespace countersign::appid_registry {

// Who asks for a change, and what identifies the request (common/db/request_ids.h).
struct Mutation {
  std::string principal;
  std::string method;
  std::string request_id;
  std::string request_bytes;
};

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_STORAGE_MUTATION_H_
