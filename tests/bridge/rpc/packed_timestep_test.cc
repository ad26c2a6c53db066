#include "bridge/rpc/packed_timestep.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "bridge/slots.h"

namespace midlane::rpc {
namespace {

// Two terms, one metric, observations of 4 and 3 bytes.
Spec TestSpec() {
  Spec spec;
  spec.environment = "toy";
  spec.agents = {"one"};
  spec.heads.push_back({});
  spec.heads[0].name = "move";
  spec.heads[0].choices = 2;
  for (const auto& [name, dtype, extent] :
       {std::tuple("x", MIDLANE_DTYPE_F32, 1u), std::tuple("y", MIDLANE_DTYPE_U8, 3u)}) {
    TensorSpec tensor;
    tensor.name = name;
    tensor.dtype = dtype;
    tensor.shape = {extent};
    spec.tensors.push_back(tensor);
  }
  spec.terms = {"won", "lost"};
  spec.metrics = {"points"};
  spec.frame_skip = 1;
  spec.frames_per_second = 1;
  const auto raw = MakeRawSpec(spec);
  EXPECT_TRUE(raw.ok()) << raw.status();
  const auto parsed = ParseSpec(*raw);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return *parsed;
}

TEST(PackedTimestep, HasTheLayoutThatIsDocumented) {
  const Spec spec = TestSpec();
  ASSERT_EQ(PackedBytes(spec), 8 + 8 + 4 + 4 + 2 * 4 + 1 * 4 + 128u);
  SlotBuffer slots(spec);
  midlane_slot* const slot = slots.slot(0);
  slot->observed_frame = 0x0102030405060708;
  slot->effect_frame = 3;
  slot->episode = 4;
  slot->flags = 5;
  slot->reward[0] = 1.0f;
  slot->reward[1] = -2.0f;
  slot->metric[0] = 0.5f;
  const float x = 1.5f;
  std::memcpy(slots.observation(0), &x, sizeof x);
  std::memcpy(slots.observation(0) + 64, "abc", 3);

  std::vector<unsigned char> packed(PackedBytes(spec), 0xee);
  PackTimestep(spec, ViewSlot(slot), packed.data());
  std::vector<unsigned char> wanted = {8, 7, 6,    5,    4, 3, 2, 1,    3, 0, 0, 0, 0,
                                       0, 0, 0,    4,    0, 0, 0, 5,    0, 0, 0,  // episode, flags
                                       0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0,           // 1, -2
                                       0, 0, 0,    0x3f,                          // 0.5
                                       0, 0, 0xc0, 0x3f};                         // 1.5
  wanted.resize(36 + 64);
  wanted.insert(wanted.end(), {'a', 'b', 'c'});
  wanted.resize(36 + 128);
  EXPECT_EQ(packed, wanted);

  SlotBuffer read(spec);
  const std::string bytes(packed.begin(), packed.end());
  ASSERT_TRUE(UnpackTimestep(spec, bytes, read.slot(0)));
  std::vector<unsigned char> again(PackedBytes(spec));
  PackTimestep(spec, ViewSlot(read.slot(0)), again.data());
  EXPECT_EQ(again, packed);
}

TEST(PackedTimestep, RefusesOtherSizes) {
  const Spec spec = TestSpec();
  SlotBuffer slots(spec);
  slots.slot(0)->observed_frame = 7;
  for (const size_t bytes : {size_t{0}, PackedBytes(spec) - 1, PackedBytes(spec) + 1}) {
    EXPECT_FALSE(UnpackTimestep(spec, std::string(bytes, '\1'), slots.slot(0))) << bytes;
  }
  EXPECT_EQ(slots.slot(0)->observed_frame, 7u) << "something was written";
}

}  // namespace
}  // namespace midlane::rpc
