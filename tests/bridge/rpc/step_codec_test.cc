// The bytes of steps against protobuf's own reading and writing of them.
#include "bridge/rpc/step_codec.h"

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "tests/bridge/rpc/requests.h"

namespace midlane::rpc {
namespace {

using google::protobuf::util::MessageDifferencer;

TEST(ReadPlainStepTest, ReadsWhatProtobufWrites) {
  const std::vector<int32_t> choices = {
      0, 1, 127, 128, std::numeric_limits<int32_t>::max(), -1, std::numeric_limits<int32_t>::min()};
  for (const int32_t choice : choices) {
    const auto request = StepWith({1, 300, 70000}, {{1, Choice(choice)}, {200, Choice(7)}});
    PlainStep step;
    ASSERT_TRUE(ReadPlainStep(request.SerializeAsString(), &step)) << choice;
    EXPECT_EQ(std::vector<uint64_t>(step.requested.begin(), step.requested.end()),
              (std::vector<uint64_t>{1, 300, 70000}));
    ASSERT_EQ(step.actions.size(), 2u);
    for (const PlainStep::Action& action : step.actions) {
      EXPECT_EQ(action.choice, action.id == 1 ? choice : 7);
    }
  }
}

TEST(ReadPlainStepTest, ReadsAStepWithNothingInIt) {
  PlainStep step;
  step.requested.push_back(5);
  ASSERT_TRUE(ReadPlainStep(StepWith({}).SerializeAsString(), &step));
  EXPECT_TRUE(step.requested.empty());
  EXPECT_TRUE(step.actions.empty());
}

TEST(ReadPlainStepTest, LeavesTheRestToProtobuf) {
  wire::Tensor shaped = Choice(1);
  shaped.add_shape(1);
  wire::Tensor two = Choice(1);
  two.mutable_int32s()->add_array(2);
  wire::Tensor floats;
  floats.mutable_floats()->add_array(1);
  const std::string plain = Act(1, {1, 2}).SerializeAsString();
  const std::vector<std::string> others = {
      "",
      CreateWorld().SerializeAsString(),
      StepWith({}, {{1, shaped}}).SerializeAsString(),
      StepWith({}, {{1, two}}).SerializeAsString(),
      StepWith({}, {{1, floats}}).SerializeAsString(),
      StepWith({}, {{1, wire::Tensor()}}).SerializeAsString(),
      StepWith(std::vector<uint64_t>(kPlainIdsMax + 1, 1)).SerializeAsString(),
      plain + plain,
      plain + "x",
      plain + LeaveWorld().SerializeAsString(),
  };
  PlainStep step;
  for (const std::string& bytes : others) EXPECT_FALSE(ReadPlainStep(bytes, &step)) << bytes.size();
  for (size_t cut = 0; cut < plain.size(); ++cut) {
    EXPECT_FALSE(ReadPlainStep(plain.substr(0, cut), &step)) << cut;
  }
  // An action's id twice in one map: protobuf keeps the last.
  std::string twice = plain.substr(2);
  const std::string entry = Act(3).SerializeAsString().substr(2);
  twice = std::string("\x1a") + static_cast<char>(twice.size() + entry.size()) + twice + entry;
  ASSERT_TRUE(wire::EnvironmentRequest().ParseFromString(twice));
  EXPECT_FALSE(ReadPlainStep(twice, &step));
}

TEST(WriteStepResponseTest, WritesWhatProtobufReads) {
  const std::vector<float> floats = {0.0f, -1.5f, std::numeric_limits<float>::max()};
  const std::vector<int32_t> ints = {0, -1, 300, std::numeric_limits<int32_t>::min()};
  const std::vector<uint8_t> bytes(300, 0xff);
  const std::vector<uint64_t> longs = {0, 1ull << 63};
  const uint32_t small = 129;
  const std::string row = ShapeField({3}), grid = ShapeField({2, 2}), flat = ShapeField({300}),
                    none = ShapeField({0});
  const std::vector<TensorBytes> observations = {
      {1, wire::Tensor::kFloats, floats.data(), 3, row},
      {2, wire::Tensor::kInt32S, ints.data(), 4, grid},
      {200, wire::Tensor::kUint8S, bytes.data(), 300, flat},
      {70000, wire::Tensor::kUint64S, longs.data(), 2, {}},
      {5, wire::Tensor::kUint32S, &small, 1, {}},
      {6, wire::Tensor::kFloats, nullptr, 0, none},
  };
  wire::EnvironmentResponse wanted;
  wanted.mutable_step()->set_state(wire::INTERRUPTED);
  auto& map = *wanted.mutable_step()->mutable_observations();
  for (const float f : floats) map[1].mutable_floats()->add_array(f);
  map[1].add_shape(3);
  for (const int32_t i : ints) map[2].mutable_int32s()->add_array(i);
  map[2].add_shape(2);
  map[2].add_shape(2);
  map[200].mutable_uint8s()->set_array(bytes.data(), bytes.size());
  map[200].add_shape(300);
  for (const uint64_t l : longs) map[70000].mutable_uint64s()->add_array(l);
  map[5].mutable_uint32s()->add_array(small);
  map[6].mutable_floats();
  map[6].add_shape(0);

  std::string written = "what was there before";
  WriteStepResponse(wire::INTERRUPTED, observations, &written);
  wire::EnvironmentResponse read;
  ASSERT_TRUE(read.ParseFromString(written));
  EXPECT_TRUE(MessageDifferencer::Equals(read, wanted)) << read.ShortDebugString();
  EXPECT_EQ(written.size(), wanted.ByteSizeLong());
}

TEST(WriteStepResponseTest, WritesAStateWithoutObservations) {
  std::string written;
  WriteStepResponse(wire::RUNNING, {}, &written);
  wire::EnvironmentResponse wanted;
  wanted.mutable_step()->set_state(wire::RUNNING);
  EXPECT_EQ(written, wanted.SerializeAsString());
}

}  // namespace
}  // namespace midlane::rpc
