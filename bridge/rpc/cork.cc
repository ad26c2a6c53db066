#include "bridge/rpc/cork.h"

#include <algorithm>
#include <utility>

namespace midlane::rpc {
namespace {

thread_local Cork* cork_of_thread = nullptr;

}  // namespace

Cork::Cork() : outermost_(cork_of_thread == nullptr) {
  if (outermost_) cork_of_thread = this;
}

Cork::~Cork() {
  if (!outermost_) return;
  cork_of_thread = nullptr;
  for (const std::shared_ptr<Flushable>& flushable : waiting_) flushable->Flush();
}

void Cork::Flush(std::shared_ptr<Flushable> flushable) {
  if (cork_of_thread == nullptr) return flushable->Flush();
  auto& waiting = cork_of_thread->waiting_;
  if (std::find(waiting.begin(), waiting.end(), flushable) == waiting.end()) {
    waiting.push_back(std::move(flushable));
  }
}

}  // namespace midlane::rpc
