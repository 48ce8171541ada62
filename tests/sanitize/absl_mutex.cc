// Tells ThreadSanitizer what absl::Mutex does. Debian's Abseil is not built for it, and its locks
// are atomics of its own: without this, everything a Mutex guards would look like a race, in our
// code and between gRPC's threads and ours.
//
// Programs that load Abseil as a library get these functions instead of its own (a program's
// symbols go first), and each hands on to the next one. In the agent, which holds Abseil, the
// linker puts them in between (--wrap, for every symbol named here).
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include "absl/time/time.h"

// STANDS_FOR(Name, symbol, result, parameters, arguments): RealName calls Abseil's function,
// OurName is called in its place.
#ifdef DROVER_WRAP
#define STANDS_FOR(name, symbol, result, parameters, arguments) \
  result Real##name parameters asm("__real_" symbol);           \
  result Our##name parameters asm("__wrap_" symbol);
#else
// Looked up at the first call: locks are taken before this file's own variables are made.
#define STANDS_FOR(name, symbol, result, parameters, arguments)           \
  static result Real##name parameters {                                   \
    static result(*const next) parameters =                               \
        reinterpret_cast<result(*) parameters>(dlsym(RTLD_NEXT, symbol)); \
    return next arguments;                                                \
  }                                                                       \
  result Our##name parameters asm(symbol);
#endif

using absl::Duration;
using absl::Time;
constexpr unsigned kRead = __tsan_mutex_read_lock;

// What a call does with the lock, told before and after it; in between nothing is looked at.
struct Takes {
  explicit Takes(void* mutex, unsigned flags = 0) : mutex(mutex), flags(flags) {
    __tsan_mutex_pre_lock(mutex, flags);
  }
  ~Takes() { __tsan_mutex_post_lock(mutex, flags, 0); }
  void* mutex;
  unsigned flags;
};
struct Gives {
  explicit Gives(void* mutex, unsigned flags = 0) : mutex(mutex), flags(flags) {
    __tsan_mutex_pre_unlock(mutex, flags);
  }
  ~Gives() { __tsan_mutex_post_unlock(mutex, flags); }
  void* mutex;
  unsigned flags;
};
// Gives it away and has it again.
struct Lends {
  explicit Lends(void* mutex) : taken((Gives(mutex), mutex)) {}
  Takes taken;
};
template <typename Attempt>
bool Try(void* mutex, unsigned flags, Attempt attempt) {
  flags |= __tsan_mutex_try_lock;
  __tsan_mutex_pre_lock(mutex, flags);
  const bool got = attempt(mutex);
  __tsan_mutex_post_lock(mutex, got ? flags : flags | __tsan_mutex_try_lock_failed, 0);
  return got;
}
// A notification is an atomic, looked at without a lock.
struct Acquires {
  ~Acquires() { __tsan_acquire(const_cast<void*>(of)); }
  const void* of;
};

STANDS_FOR(Lock, "_ZN4absl7debian35Mutex4LockEv", void, (void* mutex), (mutex))
void OurLock(void* mutex) {
  Takes takes(mutex);
  return RealLock(mutex);
}

STANDS_FOR(Unlock, "_ZN4absl7debian35Mutex6UnlockEv", void, (void* mutex), (mutex))
void OurUnlock(void* mutex) {
  Gives gives(mutex);
  return RealUnlock(mutex);
}

STANDS_FOR(ReaderLock, "_ZN4absl7debian35Mutex10ReaderLockEv", void, (void* mutex), (mutex))
void OurReaderLock(void* mutex) {
  Takes takes(mutex, kRead);
  return RealReaderLock(mutex);
}

STANDS_FOR(ReaderUnlock, "_ZN4absl7debian35Mutex12ReaderUnlockEv", void, (void* mutex), (mutex))
void OurReaderUnlock(void* mutex) {
  Gives gives(mutex, kRead);
  return RealReaderUnlock(mutex);
}

STANDS_FOR(TryLock, "_ZN4absl7debian35Mutex7TryLockEv", bool, (void* mutex), (mutex))
bool OurTryLock(void* mutex) { return Try(mutex, 0, RealTryLock); }

STANDS_FOR(ReaderTryLock, "_ZN4absl7debian35Mutex13ReaderTryLockEv", bool, (void* mutex), (mutex))
bool OurReaderTryLock(void* mutex) { return Try(mutex, kRead, RealReaderTryLock); }

STANDS_FOR(LockWhen, "_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE", void,
           (void* mutex, const void* condition), (mutex, condition))
void OurLockWhen(void* mutex, const void* condition) {
  Takes takes(mutex);
  return RealLockWhen(mutex, condition);
}

STANDS_FOR(LockWhenDeadline,
           "_ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE", bool,
           (void* mutex, const void* condition, Time deadline), (mutex, condition, deadline))
bool OurLockWhenDeadline(void* mutex, const void* condition, Time deadline) {
  Takes takes(mutex);
  return RealLockWhenDeadline(mutex, condition, deadline);
}

STANDS_FOR(Await, "_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE", void,
           (void* mutex, const void* condition), (mutex, condition))
void OurAwait(void* mutex, const void* condition) {
  Lends lends(mutex);
  return RealAwait(mutex, condition);
}

STANDS_FOR(AwaitDeadline, "_ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE",
           bool, (void* mutex, const void* condition, Time deadline), (mutex, condition, deadline))
bool OurAwaitDeadline(void* mutex, const void* condition, Time deadline) {
  Lends lends(mutex);
  return RealAwaitDeadline(mutex, condition, deadline);
}

STANDS_FOR(Wait, "_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE", void, (void* variable, void* mutex),
           (variable, mutex))
void OurWait(void* variable, void* mutex) {
  Lends lends(mutex);
  return RealWait(variable, mutex);
}

STANDS_FOR(WaitDeadline, "_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE", bool,
           (void* variable, void* mutex, Time deadline), (variable, mutex, deadline))
bool OurWaitDeadline(void* variable, void* mutex, Time deadline) {
  Lends lends(mutex);
  return RealWaitDeadline(variable, mutex, deadline);
}

#ifdef DROVER_WRAP
// These call others of these inside Abseil: by their symbols, where Abseil is a library, and
// directly, where the linker cannot step in.
STANDS_FOR(LockWhenTimeout,
           "_ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE", bool,
           (void* mutex, const void* condition, Duration timeout), (mutex, condition, timeout))
bool OurLockWhenTimeout(void* mutex, const void* condition, Duration timeout) {
  Takes takes(mutex);
  return RealLockWhenTimeout(mutex, condition, timeout);
}

STANDS_FOR(AwaitTimeout, "_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE",
           bool, (void* mutex, const void* condition, Duration timeout),
           (mutex, condition, timeout))
bool OurAwaitTimeout(void* mutex, const void* condition, Duration timeout) {
  Lends lends(mutex);
  return RealAwaitTimeout(mutex, condition, timeout);
}

STANDS_FOR(WaitTimeout, "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE",
           bool, (void* variable, void* mutex, Duration timeout), (variable, mutex, timeout))
bool OurWaitTimeout(void* variable, void* mutex, Duration timeout) {
  Lends lends(mutex);
  return RealWaitTimeout(variable, mutex, timeout);
}

STANDS_FOR(Release, "_ZN4absl7debian319ReleasableMutexLock7ReleaseEv", void, (void** lock), (lock))
void OurRelease(void** lock) {
  Gives gives(*lock);
  RealRelease(lock);
}
#endif

STANDS_FOR(Notify, "_ZN4absl7debian312Notification6NotifyEv", void, (void* notification),
           (notification))
void OurNotify(void* notification) {
  __tsan_release(notification);
  return RealNotify(notification);
}

STANDS_FOR(AwaitNotification, "_ZNK4absl7debian312Notification19WaitForNotificationEv", void,
           (const void* notification), (notification))
void OurAwaitNotification(const void* notification) {
  Acquires acquires{notification};
  return RealAwaitNotification(notification);
}

STANDS_FOR(AwaitNotificationTimeout,
           "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE", bool,
           (const void* notification, Duration timeout), (notification, timeout))
bool OurAwaitNotificationTimeout(const void* notification, Duration timeout) {
  Acquires acquires{notification};
  return RealAwaitNotificationTimeout(notification, timeout);
}
