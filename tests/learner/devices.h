// Devices: where libtorch can run here, for tests of what runs on each: "cpu", and "cuda" where
// there is a CUDA device.
#ifndef MIDLANE_TESTS_LEARNER_DEVICES_H_
#define MIDLANE_TESTS_LEARNER_DEVICES_H_

#include <string>
#include <vector>

#include "learner/ppo_engine.h"

namespace midlane {

inline std::vector<std::string> Devices() {
  NetworkShape shape;
  shape.inputs = 1;
  shape.heads = {2};
  std::vector<std::string> devices = {"cpu"};
  if (MakeTorchEngine(shape, "cuda", 1).ok()) devices.push_back("cuda");
  return devices;
}

}  // namespace midlane

#endif  // MIDLANE_TESTS_LEARNER_DEVICES_H_
