// LocalClient: a Session driven without a transport, its answers awaited.
#ifndef MIDLANE_TESTS_BRIDGE_RPC_LOCAL_CLIENT_H_
#define MIDLANE_TESTS_BRIDGE_RPC_LOCAL_CLIENT_H_

#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "bridge/rpc/session.h"
#include "gtest/gtest.h"
#include "tests/bridge/rpc/requests.h"

namespace midlane::rpc {

// One request under way.
class Call final : public Completion {
 public:
  explicit Call(wire::EnvironmentRequest request) : request_(std::move(request)) {}

  void Done() override {
    if (!step.empty() && !response_.ParseFromString(step)) ADD_FAILURE() << "no response";
    done_.Notify();
  }
  bool done() { return done_.HasBeenNotified(); }
  bool WaitFor(absl::Duration timeout) { return done_.WaitForNotificationWithTimeout(timeout); }
  const wire::EnvironmentRequest& request() const { return request_; }
  wire::EnvironmentRequest* scratch() { return &scratch_; }
  wire::EnvironmentResponse* response() { return &response_; }

  // The answer, within 10 s.
  const wire::EnvironmentResponse& Answer() {
    if (!WaitFor(absl::Seconds(10))) ADD_FAILURE() << "no answer: " << request_.ShortDebugString();
    return response_;
  }

 private:
  wire::EnvironmentRequest request_, scratch_;
  wire::EnvironmentResponse response_;
  absl::Notification done_;
};

class LocalClient {
 public:
  LocalClient(WorldRegistry* registry, uint64_t id)
      : session_(registry, id, absl::StrCat("client ", id)) {}

  std::shared_ptr<Call> Begin(wire::EnvironmentRequest request) {
    auto call = std::make_shared<Call>(std::move(request));
    session_.HandleBytes(call->request().SerializeAsString(), call->scratch(), call->response(),
                         call.get());
    return call;
  }

  wire::EnvironmentResponse Send(wire::EnvironmentRequest request) {
    return Begin(std::move(request))->Answer();
  }

  void Vanish() { session_.Close(); }

 private:
  Session session_;
};

}  // namespace midlane::rpc

#endif  // MIDLANE_TESTS_BRIDGE_RPC_LOCAL_CLIENT_H_
