// SPDX-License-Identifier: Apache-2.0
//
// A mutex that clang's thread-safety analysis understands, and the annotations that go with it.
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define FERMENT_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define FERMENT_THREAD_ANNOTATION(x)
#endif
#define FERMENT_GUARDED_BY(x) FERMENT_THREAD_ANNOTATION(guarded_by(x))
#define FERMENT_REQUIRES(...) FERMENT_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define FERMENT_EXCLUDES(...) FERMENT_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))

namespace ferment {

class FERMENT_THREAD_ANNOTATION(capability("mutex")) Mutex {
 public:
  void lock() FERMENT_THREAD_ANNOTATION(acquire_capability()) { mutex_.lock(); }
  void unlock() FERMENT_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }
  bool try_lock() FERMENT_THREAD_ANNOTATION(try_acquire_capability(true)) { return mutex_.try_lock(); }

 private:
  std::mutex mutex_;
};

class FERMENT_THREAD_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) FERMENT_THREAD_ANNOTATION(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() FERMENT_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Waits take the held Mutex itself: `condition.wait_for(mutex, timeout, predicate)`.
using CondVar = std::condition_variable_any;

}  // namespace ferment
