#include "common/crypto/pkcs11/module.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#include <atomic>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/pkcs11/errors.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto::pkcs11 {
namespace {

// What the process knows. A child gets an empty one after a fork: in the parent's another thread may have
// held a lock at that moment.
struct Table {
  absl::Mutex mutex;
  std::map<std::string, Module*> modules ABSL_GUARDED_BY(mutex);  // by path; never destroyed
  absl::Mutex pins_mutex;  // of its own: pins are looked up within a Use
  std::set<std::string> refused_pins ABSL_GUARDED_BY(pins_mutex);  // SHA-256
};

std::atomic<uint64_t> process_generation = 0;
std::atomic<Table*> table = nullptr;

void AfterForkInChild() {
  table = new Table;
  ++process_generation;
}

Table& TheTable() {
  static const bool registered = [] {
    table = new Table;
    pthread_atfork(nullptr, nullptr, &AfterForkInChild);
    return true;
  }();
  static_cast<void>(registered);
  return *table;
}

absl::Status Unusable(absl::StatusCode code, absl::string_view path, absl::string_view why) {
  return Error(code, kModuleUnusable, absl::StrCat("PKCS#11 module ", path, ": ", why));
}

absl::StatusOr<CK_FUNCTION_LIST*> LoadFunctions(const std::string& path) {
  // Never closed: libraries leave handlers behind that run when threads and the process end.
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Unusable(absl::StatusCode::kFailedPrecondition, path, dlerror());
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* functions = nullptr;
  if (get == nullptr || get(&functions) != CKR_OK || functions == nullptr) {
    return Unusable(absl::StatusCode::kFailedPrecondition, path, "it is no PKCS#11 library");
  }
  return functions;
}

}  // namespace

uint64_t ProcessGeneration() { return process_generation; }

void RememberRefusedPin(const std::string& token_and_pin) {
  Table& all = TheTable();
  absl::MutexLock lock(&all.pins_mutex);
  all.refused_pins.insert(Sha256(token_and_pin));
}

bool IsRefusedPin(const std::string& token_and_pin) {
  Table& all = TheTable();
  absl::MutexLock lock(&all.pins_mutex);
  return all.refused_pins.count(Sha256(token_and_pin)) > 0;
}

absl::StatusOr<Module::Ptr> Module::Load(const std::string& path) {
  // One library under two names would be initialised, and finalised, twice.
  char* const resolved = realpath(path.c_str(), nullptr);
  const std::string real = resolved == nullptr ? path : resolved;
  free(resolved);
  Table& all = TheTable();
  absl::MutexLock lock(&all.mutex);
  Module*& module = all.modules[real];
  if (module == nullptr) {
    absl::StatusOr<CK_FUNCTION_LIST*> functions = LoadFunctions(real);
    if (!functions.ok()) {
      all.modules.erase(real);
      return functions.status();
    }
    module = new Module(real, *functions);
  }
  if (module->users_ == 0) {
    absl::MutexLock module_lock(&module->mutex_);
    RETURN_IF_ERROR(module->Initialise());
  }
  ++module->users_;
  return Ptr(module);
}

void Module::Release::operator()(Module* module) const {
  absl::MutexLock lock(&TheTable().mutex);
  if (--module->users_ > 0) return;
  absl::MutexLock module_lock(&module->mutex_);
  if (std::exchange(module->initialised_, false)) module->functions_->C_Finalize(nullptr);
  ++module->generation_;
}

absl::Status Module::Initialise() {
  CK_C_INITIALIZE_ARGS arguments = {};
  arguments.flags = CKF_OS_LOCKING_OK;
  const CK_RV rv = functions_->C_Initialize(&arguments);
  // A child of a fork finds it so in modules that do not look at the process's id.
  if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
    return Unusable(absl::StatusCode::kUnavailable, path_, FromReturn(rv, "initialise").message());
  }
  initialised_ = true;
  return absl::OkStatus();
}

absl::Status Module::Restart(uint64_t generation) {
  absl::MutexLock lock(&mutex_);
  if (initialised_ && generation_ != generation) return absl::OkStatus();
  if (std::exchange(initialised_, false)) functions_->C_Finalize(nullptr);
  ++generation_;
  return Initialise();
}

Module::Use::Use(Module& module) ABSL_NO_THREAD_SAFETY_ANALYSIS : module_(module) {
  module.mutex_.ReaderLock();
}

Module::Use::~Use() ABSL_NO_THREAD_SAFETY_ANALYSIS { module_.mutex_.ReaderUnlock(); }

absl::Status Module::Use::status() const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (module_.initialised_) return absl::OkStatus();
  return Unusable(absl::StatusCode::kUnavailable, module_.path_, "it does not initialise");
}

uint64_t Module::Use::generation() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return module_.generation_; }

}  // namespace countersign::crypto::pkcs11
