// Completion: whom to tell that a response is complete, and the rule that nobody is told under a
// lock.
//
// Thread-safety: Done is called once, on any thread, with no lock of the caller's held.
#ifndef MIDLANE_BRIDGE_RPC_COMPLETION_H_
#define MIDLANE_BRIDGE_RPC_COMPLETION_H_

#include <string>

#include "absl/container/inlined_vector.h"

namespace midlane::rpc {

class Completion {
 public:
  virtual void Done() = 0;

  // Where a step succeeded its EnvironmentResponse is here, serialised, and not in the response
  // object; else this is empty. Written before Done.
  std::string step;

 protected:
  ~Completion() = default;
};

// Tells its completions when it goes out of scope. Declare it before the lock.
class Finished {
 public:
  Finished() = default;
  ~Finished() {
    for (Completion* completion : completions_) completion->Done();
  }
  Finished(const Finished&) = delete;
  Finished& operator=(const Finished&) = delete;

  void Add(Completion* completion) { completions_.push_back(completion); }

 private:
  absl::InlinedVector<Completion*, 4> completions_;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_COMPLETION_H_
