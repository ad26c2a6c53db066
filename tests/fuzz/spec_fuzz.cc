// A game's spec: any bytes become a valid Spec or one sentence, and a valid one survives its use.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bridge/spec.h"
#include "tests/fuzz/fuzz.h"

namespace {

midlane::TensorSpec Tensor(const char* name, midlane_dtype dtype, std::vector<uint32_t> shape) {
  midlane::TensorSpec tensor;
  tensor.name = name;
  tensor.dtype = dtype;
  tensor.shape = std::move(shape);
  tensor.maximum = 1;
  return tensor;
}

}  // namespace

namespace midlane {

std::vector<std::string> FuzzSeeds() {
  midlane::Spec spec;
  spec.environment = "seed";
  spec.agents = {"left", "right"};
  spec.tensors = {Tensor("ball", MIDLANE_DTYPE_F32, {4}), Tensor("mask", MIDLANE_DTYPE_U8, {3}),
                  Tensor("units", MIDLANE_DTYPE_I32, {2, 3})};
  spec.tensors[1].masks_head = 0;
  spec.heads = {{"move", 3, -1}};
  spec.terms = {"won"};
  spec.metrics = {"points"};
  spec.frames_per_second = 60;
  const midlane_spec raw = *midlane::MakeRawSpec(spec);
  return {std::string(reinterpret_cast<const char*>(&raw), sizeof(raw)), ""};
}

}  // namespace midlane

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlane_spec raw{};
  std::memcpy(static_cast<void*>(&raw), data, std::min(size, sizeof(raw)));
  const absl::StatusOr<midlane::Spec> spec = midlane::ParseSpec(raw);
  if (!spec.ok()) {
    if (spec.status().message().find('\n') != std::string::npos) std::abort();
    return 0;
  }
  // Valid means: flattening stays inside, and the spec written again is the same.
  std::vector<unsigned char> observation(spec->observation_bytes);
  std::vector<float> inputs(spec->input_width());
  std::vector<uint8_t> masks(spec->logits_width());
  midlane::FlattenObservation(*spec, observation.data(), inputs.data(), masks.data());
  const absl::StatusOr<midlane_spec> again = midlane::MakeRawSpec(*spec);
  if (again.ok() && midlane::ParseSpec(*again)->input_width() != spec->input_width()) std::abort();
  return 0;
}
