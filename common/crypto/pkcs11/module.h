#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_MODULE_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_MODULE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "p11-kit/pkcs11.h"

namespace countersign::crypto::pkcs11 {

// How many forks lie between the first process of this program and this one. What was opened at another
// number belongs to the parent: a child loads the module anew and leaves the parent's objects alone, locks
// included.
uint64_t ProcessGeneration();

// Remembers, as long as the process lives and as a digest, that a token refused a PIN.
void RememberRefusedPin(const std::string& token_and_pin);
bool IsRefusedPin(const std::string& token_and_pin);

// A PKCS#11 library in this process. One for all who load the same file: its state is the process's. It is
// initialised (with locks of the operating system) when the first user comes, and finalised when the last
// goes, so that nothing of it runs while the process ends; the library itself stays loaded. Thread-safe.
class Module {
 public:
  struct Release {
    void operator()(Module* module) const;
  };
  using Ptr = std::unique_ptr<Module, Release>;

  // FAILED_PRECONDITION (PKCS11_MODULE_UNUSABLE) if `path` is no such library, UNAVAILABLE (the same reason)
  // if it does not initialise.
  static absl::StatusOr<Ptr> Load(const std::string& path);

  // Calls go through one of these: while it lives, the module is not restarted.
  class Use {
   public:
    explicit Use(Module& module);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

    // UNAVAILABLE if a restart failed and nothing may be called.
    absl::Status status() const;
    CK_FUNCTION_LIST* operator->() const { return module_.functions_; }
    // Handles of another generation mean nothing any more.
    uint64_t generation() const;
    Module& module() const { return module_; }

   private:
    Module& module_;
  };

  // Finalises and initialises again: some modules see only thus that a token is back. All handles of every
  // user become invalid. Does nothing if `generation` is over already, since then somebody else has done it.
  // Must not be called within a Use.
  absl::Status Restart(uint64_t generation);

  const std::string& path() const { return path_; }
  // Held around logins, so that a wrong PIN is tried once and not by each thread.
  absl::Mutex& login_mutex() ABSL_LOCK_RETURNED(login_mutex_) { return login_mutex_; }

 private:
  Module(std::string path, CK_FUNCTION_LIST* functions) : path_(std::move(path)), functions_(functions) {}
  absl::Status Initialise() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  CK_FUNCTION_LIST* const functions_;
  absl::Mutex login_mutex_;
  absl::Mutex mutex_;
  bool initialised_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  int users_ = 0;  // guarded by the table of all modules
};

}  // namespace countersign::crypto::pkcs11

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_MODULE_H_
