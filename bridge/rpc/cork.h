// Cork: holds back what several completions of one thread write, so that it goes out together.
//
// Whoever tells many completions in a row (a batch of requests, a round of the poller) opens a Cork
// around it; what is written meanwhile is flushed once when the outermost Cork of the thread
// closes. Thread-safety: a Cork belongs to its thread. Ownership: a Cork keeps what it flushes
// alive until then.
#ifndef MIDLANE_BRIDGE_RPC_CORK_H_
#define MIDLANE_BRIDGE_RPC_CORK_H_

#include <memory>

#include "absl/container/inlined_vector.h"

namespace midlane::rpc {

// Something with output to send.
class Flushable {
 public:
  virtual void Flush() = 0;

 protected:
  ~Flushable() = default;
};

class Cork {
 public:
  Cork();
  // Flushes where it is the thread's outermost. Under no lock of the caller's.
  ~Cork();
  Cork(const Cork&) = delete;
  Cork& operator=(const Cork&) = delete;

  // Flushes when the thread's Cork closes; at once where it has none.
  static void Flush(std::shared_ptr<Flushable> flushable);

 private:
  const bool outermost_;
  absl::InlinedVector<std::shared_ptr<Flushable>, 4> waiting_;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_CORK_H_
