// Requests of dm_env_rpc in one line, and what tests read from responses.
#ifndef MIDLANE_TESTS_BRIDGE_RPC_REQUESTS_H_
#define MIDLANE_TESTS_BRIDGE_RPC_REQUESTS_H_

#include <map>
#include <string>
#include <vector>

#include "bridge/rpc/tensors.h"

namespace midlane::rpc {

using Texts = std::map<std::string, std::string>;

inline void Put(const Texts& settings, SettingsMap* map) {
  for (const auto& [name, text] : settings) (*map)[name] = TextTensor(text);
}

inline wire::EnvironmentRequest CreateWorld(const Texts& settings = {}) {
  wire::EnvironmentRequest request;
  Put(settings, request.mutable_create_world()->mutable_settings());
  return request;
}

inline wire::EnvironmentRequest JoinWorld(const std::string& world, const Texts& settings = {}) {
  wire::EnvironmentRequest request;
  request.mutable_join_world()->set_world_name(world);
  Put(settings, request.mutable_join_world()->mutable_settings());
  return request;
}

inline wire::Tensor Choice(int32_t choice) {
  wire::Tensor tensor;
  tensor.mutable_int32s()->add_array(choice);
  return tensor;
}

inline wire::EnvironmentRequest StepWith(const std::vector<uint64_t>& requested,
                                         const std::map<uint64_t, wire::Tensor>& actions = {}) {
  wire::EnvironmentRequest request;
  for (const uint64_t id : requested) request.mutable_step()->add_requested_observations(id);
  request.mutable_step();
  for (const auto& [id, tensor] : actions) {
    (*request.mutable_step()->mutable_actions())[id] = tensor;
  }
  return request;
}

inline wire::EnvironmentRequest Act(int32_t choice, const std::vector<uint64_t>& requested = {}) {
  return StepWith(requested, {{1, Choice(choice)}});
}

inline wire::EnvironmentRequest Reset(const Texts& settings = {}) {
  wire::EnvironmentRequest request;
  Put(settings, request.mutable_reset()->mutable_settings());
  return request;
}

inline wire::EnvironmentRequest ResetWorld(const std::string& world, const Texts& settings = {}) {
  wire::EnvironmentRequest request;
  request.mutable_reset_world()->set_world_name(world);
  Put(settings, request.mutable_reset_world()->mutable_settings());
  return request;
}

inline wire::EnvironmentRequest LeaveWorld() {
  wire::EnvironmentRequest request;
  request.mutable_leave_world();
  return request;
}

inline wire::EnvironmentRequest DestroyWorld(const std::string& world) {
  wire::EnvironmentRequest request;
  request.mutable_destroy_world()->set_world_name(world);
  return request;
}

// The id of an observation by its name; 0 where there is none.
inline uint64_t IdOf(const wire::ActionObservationSpecs& specs, const std::string& name) {
  for (const auto& [id, spec] : specs.observations()) {
    if (spec.name() == name) return id;
  }
  return 0;
}

inline std::string Message(const wire::EnvironmentResponse& response) {
  return response.error().message();
}
inline int Code(const wire::EnvironmentResponse& response) { return response.error().code(); }

}  // namespace midlane::rpc

#endif  // MIDLANE_TESTS_BRIDGE_RPC_REQUESTS_H_
