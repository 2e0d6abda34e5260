#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>

#include <new>

#include "common/crypto/pkcs11/testing/faulty_module.h"

namespace countersign::crypto::pkcs11::testing {

std::string Faults::Module() {
  char path[PATH_MAX];
  return realpath("common/crypto/pkcs11/testing/libfaulty_module.so", path) == nullptr ? "" : path;
}

Faults& Faults::Reset() {
  void* const library = dlopen(Module().c_str(), RTLD_NOW | RTLD_LOCAL);
  const auto get =
      reinterpret_cast<Faults* (*)()>(library == nullptr ? nullptr : dlsym(library, "CountersignFaults"));
  if (get == nullptr) abort();
  return *new (get()) Faults;
}

}  // namespace countersign::crypto::pkcs11::testing
