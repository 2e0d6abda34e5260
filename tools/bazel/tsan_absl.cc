// Tells the thread sanitizer what Debian's libabsl_synchronization, which is not instrumented, does: without
// it every field that an absl::Mutex guards looks like a race. Linked into each program by --config=tsan
// (custom_malloc), it stands before the library's functions, calls them, and adds the happens-before edges.
// gRPC's own mutexes are absl's too.
#include <dlfcn.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}

// gRPC passes data between threads by means of its own, which the sanitizer does not see either.
extern "C" const char* __tsan_default_suppressions() { return "race:libgrpc.so\nrace:libgrpc++.so\n"; }

namespace {

// Conditions are evaluated within the library, under the lock, by whichever thread unlocks: what they read
// there is no race, and the sanitizer cannot know.
class Ignore {
 public:
  Ignore() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Ignore() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

}  // namespace

// The library's own function of that name, as `next`.
#define NEXT(result, symbol, ...) \
  static const auto next = reinterpret_cast<result (*)(__VA_ARGS__)>(dlsym(RTLD_NEXT, symbol))

namespace absl {
ABSL_NAMESPACE_BEGIN

#define ACQUIRES(name, symbol)  \
  void Mutex::name() {          \
    NEXT(void, symbol, Mutex*); \
    {                           \
      Ignore ignore;            \
      next(this);               \
    }                           \
    __tsan_acquire(this);       \
  }
#define RELEASES(name, symbol)  \
  void Mutex::name() {          \
    NEXT(void, symbol, Mutex*); \
    __tsan_release(this);       \
    Ignore ignore;              \
    next(this);                 \
  }
#define TRIES(name, symbol)          \
  bool Mutex::name() {               \
    NEXT(bool, symbol, Mutex*);      \
    const bool taken = next(this);   \
    if (taken) __tsan_acquire(this); \
    return taken;                    \
  }
#define ACQUIRES_WHEN(name, symbol)               \
  void Mutex::name(const Condition& condition) {  \
    NEXT(void, symbol, Mutex*, const Condition&); \
    {                                             \
      Ignore ignore;                              \
      next(this, condition);                      \
    }                                             \
    __tsan_acquire(this);                         \
  }
#define AWAITS(name, symbol, Limit)                           \
  bool Mutex::name(const Condition& condition, Limit limit) { \
    NEXT(bool, symbol, Mutex*, const Condition&, Limit);      \
    __tsan_release(this);                                     \
    bool held;                                                \
    {                                                         \
      Ignore ignore;                                          \
      held = next(this, condition, limit);                    \
    }                                                         \
    __tsan_acquire(this);                                     \
    return held;                                              \
  }

ACQUIRES(Lock, "_ZN4absl7debian35Mutex4LockEv")
ACQUIRES(ReaderLock, "_ZN4absl7debian35Mutex10ReaderLockEv")
RELEASES(Unlock, "_ZN4absl7debian35Mutex6UnlockEv")
RELEASES(ReaderUnlock, "_ZN4absl7debian35Mutex12ReaderUnlockEv")
TRIES(TryLock, "_ZN4absl7debian35Mutex7TryLockEv")
TRIES(ReaderTryLock, "_ZN4absl7debian35Mutex13ReaderTryLockEv")
ACQUIRES_WHEN(LockWhen, "_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE")
ACQUIRES_WHEN(ReaderLockWhen, "_ZN4absl7debian35Mutex14ReaderLockWhenERKNS0_9ConditionE")
AWAITS(AwaitWithTimeout, "_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE", Duration)
AWAITS(AwaitWithDeadline, "_ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE", Time)
AWAITS(LockWhenWithTimeout, "_ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE",
       Duration)
AWAITS(LockWhenWithDeadline, "_ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE", Time)

void Mutex::Await(const Condition& condition) {
  NEXT(void, "_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE", Mutex*, const Condition&);
  __tsan_release(this);
  {
    Ignore ignore;
    next(this, condition);
  }
  __tsan_acquire(this);
}

void CondVar::Wait(Mutex* mutex) {
  NEXT(void, "_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE", CondVar*, Mutex*);
  __tsan_release(mutex);
  next(this, mutex);
  __tsan_acquire(mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration limit) {
  NEXT(bool, "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE", CondVar*, Mutex*,
       Duration);
  __tsan_release(mutex);
  const bool timed_out = next(this, mutex, limit);
  __tsan_acquire(mutex);
  return timed_out;
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time limit) {
  NEXT(bool, "_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE", CondVar*, Mutex*, Time);
  __tsan_release(mutex);
  const bool timed_out = next(this, mutex, limit);
  __tsan_acquire(mutex);
  return timed_out;
}

void Notification::Notify() {
  NEXT(void, "_ZN4absl7debian312Notification6NotifyEv", Notification*);
  __tsan_release(this);
  next(this);
}

void Notification::WaitForNotification() const {
  NEXT(void, "_ZNK4absl7debian312Notification19WaitForNotificationEv", const Notification*);
  next(this);
  __tsan_acquire(const_cast<Notification*>(this));
}

bool Notification::WaitForNotificationWithTimeout(Duration limit) const {
  NEXT(bool, "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE",
       const Notification*, Duration);
  const bool notified = next(this, limit);
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

bool Notification::WaitForNotificationWithDeadline(Time limit) const {
  NEXT(bool, "_ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE",
       const Notification*, Time);
  const bool notified = next(this, limit);
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl
