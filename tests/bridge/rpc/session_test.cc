// The rules of dm_env_rpc, driven through sessions without a transport.
#include "bridge/rpc/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "bridge/make_env.h"
#include "tests/bridge/rpc/fake_env.h"
#include "tests/bridge/rpc/local_client.h"

namespace midlane::rpc {
namespace {

using testing::HasSubstr;
using Code_ = absl::StatusCode;

const absl::Duration kMoment = absl::Milliseconds(50);

class SessionTest : public testing::Test {
 protected:
  void Serve(int agents, RegistryOptions options = {}) {
    options.environment = "fake";
    registry_ = std::make_unique<WorldRegistry>(
        options,
        [this, agents](const Settings&, uint64_t, const std::shared_ptr<Doorbell>& doorbell)
            -> absl::StatusOr<std::unique_ptr<Env>> {
          return std::make_unique<FakeEnv>(agents, &control_, doorbell);
        });
    for (int i = 1; i <= 3; ++i) clients_.push_back(std::make_unique<LocalClient>(&*registry_, i));
  }

  void TearDown() override {
    clients_.clear();
    registry_.reset();
    EXPECT_EQ(control_.made, control_.gone);
  }

  LocalClient& a() { return *clients_[0]; }
  LocalClient& b() { return *clients_[1]; }
  LocalClient& c() { return *clients_[2]; }

  std::string Create(const Texts& settings = {}) {
    const wire::EnvironmentResponse response = a().Send(CreateWorld(settings));
    EXPECT_TRUE(response.has_create_world()) << response.ShortDebugString();
    return response.create_world().world_name();
  }

  wire::ActionObservationSpecs Join(LocalClient& client, const std::string& world,
                                    const Texts& settings = {}) {
    const wire::EnvironmentResponse response = client.Send(JoinWorld(world, settings));
    EXPECT_TRUE(response.has_join_world()) << response.ShortDebugString();
    return response.join_world().specs();
  }

  static void ExpectError(const wire::EnvironmentResponse& response, absl::StatusCode code,
                          const std::string& part) {
    EXPECT_EQ(Code(response), static_cast<int>(code)) << response.ShortDebugString();
    EXPECT_THAT(Message(response), HasSubstr(part));
  }

  static wire::EnvironmentStateType State(const wire::EnvironmentResponse& response) {
    EXPECT_TRUE(response.has_step()) << response.ShortDebugString();
    return response.step().state();
  }

  static int Int(const wire::EnvironmentResponse& response, uint64_t id) {
    const auto found = response.step().observations().find(id);
    return found == response.step().observations().end() ? -99 : found->second.int32s().array(0);
  }

  static float Float(const wire::EnvironmentResponse& response, uint64_t id) {
    const auto found = response.step().observations().find(id);
    return found == response.step().observations().end() ? -99 : found->second.floats().array(0);
  }

  FakeControl control_;
  std::unique_ptr<WorldRegistry> registry_;
  std::vector<std::unique_ptr<LocalClient>> clients_;
};

TEST_F(SessionTest, EpisodesFollowOneAnother) {
  Serve(1);
  const wire::ActionObservationSpecs specs = Join(a(), Create());
  const uint64_t tick = IdOf(specs, "tick"), reward = IdOf(specs, "reward"),
                 discount = IdOf(specs, "discount"), acted = IdOf(specs, "acted");
  for (int episode = 0; episode < 3; ++episode) {
    // The actions of a sequence's first step are ignored, whatever they are.
    wire::EnvironmentResponse response =
        a().Send(StepWith({tick, reward, discount}, {{77, Choice(5)}}));
    EXPECT_EQ(State(response), wire::RUNNING);
    EXPECT_EQ(Int(response, tick), 0);
    EXPECT_EQ(Float(response, reward), 0);
    EXPECT_EQ(Float(response, discount), 1);
    for (int step = 1; step <= 3; ++step) {
      response = a().Send(Act(step, {tick, reward, discount, acted}));
      EXPECT_EQ(State(response), step < 3 ? wire::RUNNING : wire::TERMINATED);
      EXPECT_EQ(Int(response, tick), step);
      EXPECT_EQ(Int(response, acted), step);
      EXPECT_EQ(Float(response, reward), 3);  // one + two, weighted 1
      EXPECT_EQ(Float(response, discount), step < 3 ? 1 : 0);
    }
  }
}

TEST_F(SessionTest, ObservationsAreThoseRequested) {
  Serve(1);
  const wire::ActionObservationSpecs specs = Join(a(), Create());
  EXPECT_EQ(a().Send(StepWith({})).step().observations_size(), 0);
  std::vector<uint64_t> all;
  for (const auto& [id, spec] : specs.observations()) all.push_back(id);
  std::vector<uint64_t> twice = all;
  twice.insert(twice.end(), all.begin(), all.end());
  const wire::EnvironmentResponse response = a().Send(StepWith(twice));
  ASSERT_EQ(response.step().observations_size(), specs.observations_size());
  for (const auto& [id, spec] : specs.observations()) {
    const wire::Tensor& tensor = response.step().observations().at(id);
    EXPECT_EQ(spec.shape_size(), tensor.shape_size()) << spec.name();
    EXPECT_NE(tensor.payload_case(), wire::Tensor::PAYLOAD_NOT_SET) << spec.name();
  }
  ExpectError(a().Send(StepWith({IdOf(specs, "tick"), 4711})), Code_::kInvalidArgument, "4711");
  ExpectError(a().Send(StepWith({0})), Code_::kInvalidArgument, "observation 0");
  ExpectError(a().Send(StepWith({~0ull})), Code_::kInvalidArgument, "18446744073709551615");
}

TEST_F(SessionTest, SpecsCarryTheirBounds) {
  Serve(1);
  const wire::ActionObservationSpecs specs = Join(a(), Create());
  const wire::TensorSpec& move = specs.actions().at(1);
  EXPECT_EQ(move.name(), "move");
  EXPECT_EQ(move.min().int32s().array(0), 0);
  EXPECT_EQ(move.max().int32s().array(0), 3);
  const wire::TensorSpec& tick = specs.observations().at(IdOf(specs, "tick"));
  EXPECT_EQ(tick.min().int32s().array(0), 0);
  EXPECT_FALSE(tick.has_max());
  const wire::TensorSpec& mask = specs.observations().at(IdOf(specs, "mask"));
  EXPECT_FALSE(mask.has_min());  // the type's own limit
  EXPECT_EQ(mask.max().uint8s().array(), std::string(1, '\1'));
  EXPECT_FALSE(specs.observations().at(IdOf(specs, "reward")).has_min());
}

TEST_F(SessionTest, WrongActionsChangeNothing) {
  Serve(1);
  control_.masked = true;
  const wire::ActionObservationSpecs specs = Join(a(), Create());
  const uint64_t tick = IdOf(specs, "tick");
  a().Send(StepWith({}));
  wire::Tensor doubles, shaped, two, empty, nan;
  doubles.mutable_doubles()->add_array(1);
  shaped = Choice(1);
  shaped.add_shape(1);
  two = Choice(1);
  two.mutable_int32s()->add_array(1);
  empty.mutable_int32s();
  nan.mutable_floats()->add_array(std::numeric_limits<float>::quiet_NaN());
  const std::vector<std::pair<std::map<uint64_t, wire::Tensor>, std::string>> wrong = {
      {{{2, Choice(0)}}, "action 2 does not exist"},
      {{{0, Choice(0)}}, "action 0 does not exist"},
      {{{1, Choice(-1)}}, "'move' (id 1) is -1: give 0..3"},
      {{{1, Choice(4)}}, "'move' (id 1) is 4: give 0..3"},
      {{{1, doubles}}, "holds doubles: give int32s"},
      {{{1, nan}}, "holds floats: give int32s"},
      {{{1, wire::Tensor()}}, "holds no payload"},
      {{{1, shaped}}, "1 dimensions: give a scalar"},
      {{{1, two}}, "2 elements"},
      {{{1, empty}}, "0 elements"},
      {{{1, Choice(0)}}, "is 0, which is masked now: observation 'mask'"},
      {{{1, Choice(2)}, {9, Choice(0)}}, "action 9 does not exist"},
  };
  const int steps = control_.Count(&FakeControl::steps);
  for (const auto& [actions, part] : wrong) {
    ExpectError(a().Send(StepWith({}, actions)), Code_::kInvalidArgument, part);
  }
  EXPECT_EQ(control_.Count(&FakeControl::steps), steps);
  const wire::EnvironmentResponse response = a().Send(Act(2, {tick, IdOf(specs, "acted")}));
  EXPECT_EQ(Int(response, tick), 1);
  EXPECT_EQ(Int(response, IdOf(specs, "acted")), 2);
  // What is left out takes the first choice that is allowed: at tick 1, choice 0; at 0, 1.
  EXPECT_EQ(Int(a().Send(StepWith({IdOf(specs, "acted")})), IdOf(specs, "acted")), 0);
}

TEST_F(SessionTest, CallsOutOfOrderSayWhatToDo) {
  Serve(1);
  ExpectError(a().Send(StepWith({})), Code_::kFailedPrecondition, "send JoinWorld");
  ExpectError(a().Send(Reset()), Code_::kFailedPrecondition, "send JoinWorld");
  EXPECT_TRUE(a().Send(LeaveWorld()).has_leave_world());
  ExpectError(a().Send(JoinWorld("nowhere")), Code_::kNotFound, "send CreateWorld first");
  ExpectError(a().Send(DestroyWorld("nowhere")), Code_::kNotFound, "'nowhere'");
  ExpectError(a().Send(ResetWorld("nowhere")), Code_::kNotFound, "'nowhere'");
  const std::string world = Create();
  ExpectError(b().Send(JoinWorld("nowhere")), Code_::kNotFound, "the worlds are " + world);
  Join(a(), world);
  ExpectError(a().Send(JoinWorld(world)), Code_::kFailedPrecondition, "send LeaveWorld first");
  ExpectError(a().Send(DestroyWorld(world)), Code_::kFailedPrecondition, "LeaveWorld before");
  ExpectError(b().Send(JoinWorld(world)), Code_::kFailedPrecondition, "no free agent");
  EXPECT_TRUE(a().Send(LeaveWorld()).has_leave_world());
  EXPECT_TRUE(a().Send(LeaveWorld()).has_leave_world());
  Join(a(), world);
  EXPECT_TRUE(a().Send(LeaveWorld()).has_leave_world());
  EXPECT_TRUE(a().Send(DestroyWorld(world)).has_destroy_world());
  ExpectError(a().Send(DestroyWorld(world)), Code_::kNotFound, world);
  ExpectError(a().Send(wire::EnvironmentRequest()), Code_::kInvalidArgument, "no payload");
  wire::EnvironmentRequest extension;
  extension.mutable_extension()->set_type_url("type.googleapis.com/some.Thing");
  ExpectError(a().Send(extension), Code_::kUnimplemented, "some.Thing");
}

TEST_F(SessionTest, UnknownSettingsAreRefusedByName) {
  Serve(1);
  ExpectError(a().Send(CreateWorld({{"bad", "1"}})), Code_::kInvalidArgument, "'bad'");
  ExpectError(a().Send(CreateWorld({{"length", "zero"}})), Code_::kInvalidArgument, "'length'");
  ExpectError(a().Send(CreateWorld({{"not a name", "1"}})), Code_::kInvalidArgument, "not a name");
  ExpectError(a().Send(CreateWorld({{"length", "1\nseed=2"}})), Code_::kInvalidArgument,
              "line break");
  Texts many;
  for (int i = 0; i < 65; ++i) many[absl::StrCat("s", i)] = "1";
  ExpectError(a().Send(CreateWorld(many)), Code_::kInvalidArgument, "65 settings");
  EXPECT_EQ(registry_->worlds(), 0);
  const std::string world = Create();
  ExpectError(a().Send(JoinWorld(world, {{"name", "x"}})), Code_::kInvalidArgument, "'name'");
  ExpectError(a().Send(JoinWorld(world, {{"agent", "a9"}})), Code_::kInvalidArgument,
              "the agents are a0");
  ExpectError(a().Send(JoinWorld(world, {{"weights.x", "1"}})), Code_::kInvalidArgument,
              "the terms are one, two");
  ExpectError(a().Send(JoinWorld(world, {{"weights.one", "much"}})), Code_::kInvalidArgument,
              "'much'");
  ExpectError(a().Send(ResetWorld(world, {{"bad", "1"}})), Code_::kInvalidArgument, "'bad'");
  Join(a(), world);
  ExpectError(a().Send(Reset({{"bad", "1"}})), Code_::kInvalidArgument, "'bad'");
  EXPECT_EQ(State(a().Send(StepWith({}))), wire::RUNNING);
}

TEST_F(SessionTest, SettingsOfEveryScalarType) {
  Serve(1);
  const auto created = [this](const wire::Tensor& tensor) {
    wire::EnvironmentRequest request;
    (*request.mutable_create_world()->mutable_settings())["length"] = tensor;
    return a().Send(request);
  };
  wire::Tensor tensor;
  tensor.mutable_int64s()->add_array(1);
  EXPECT_TRUE(created(tensor).has_create_world());
  tensor.mutable_doubles()->add_array(2.0);
  EXPECT_TRUE(created(tensor).has_create_world());
  tensor.add_shape(1);
  EXPECT_TRUE(created(tensor).has_create_world());
  tensor.mutable_bools()->add_array(true);
  ExpectError(created(tensor), Code_::kInvalidArgument, "'true'");
  tensor.mutable_uint8s()->set_array("\5");
  EXPECT_TRUE(created(tensor).has_create_world());
  tensor.mutable_doubles()->add_array(std::numeric_limits<double>::quiet_NaN());
  ExpectError(created(tensor), Code_::kInvalidArgument, "finite");
  tensor.mutable_protos()->add_array();
  ExpectError(created(tensor), Code_::kInvalidArgument, "protos");
  tensor.mutable_int32s();
  ExpectError(created(tensor), Code_::kInvalidArgument, "0 elements");
  tensor.mutable_int32s()->add_array(1);
  tensor.set_shape(0, 1 << 30);
  ExpectError(created(tensor), Code_::kInvalidArgument, "array");
}

TEST_F(SessionTest, TheServersWeightsHoldWhereTheClientNamesNone) {
  RegistryOptions options;
  options.weights = {{"one", -3}, {"elsewhere", 7}};
  Serve(1, options);
  const wire::ActionObservationSpecs specs = Join(a(), Create(), {});
  const uint64_t reward = IdOf(specs, "reward");
  a().Send(StepWith({}));
  EXPECT_EQ(Float(a().Send(Act(1, {reward})), reward), -3) << "term one is 1, two weighs nothing";
}

TEST_F(SessionTest, WeightsOfOtherTermsLeaveEachAtOne) {
  RegistryOptions options;
  options.weights = {{"elsewhere", 7}};
  Serve(1, options);
  const wire::ActionObservationSpecs specs = Join(a(), Create(), {});
  const uint64_t reward = IdOf(specs, "reward");
  a().Send(StepWith({}));
  EXPECT_EQ(Float(a().Send(Act(1, {reward})), reward), 3) << "term one is 1, two is 2";
}

TEST_F(SessionTest, WeightsAreTheAgentsOwn) {
  Serve(2);
  const std::string world = Create();
  const wire::ActionObservationSpecs specs =
      Join(a(), world, {{"agent", "a1"}, {"weights.one", "0.5"}});
  Join(b(), world, {{"weights.two", "0"}});
  const uint64_t reward = IdOf(specs, "reward"), two = IdOf(specs, "terms.two");
  std::shared_ptr<Call> mine = a().Begin(StepWith({}));
  b().Send(StepWith({}));
  mine = a().Begin(Act(1, {reward, two}));
  EXPECT_EQ(Float(b().Send(Act(1, {reward})), reward), 1);
  EXPECT_EQ(Float(mine->Answer(), reward), 2.5);
  EXPECT_EQ(Float(mine->Answer(), two), 2);
}

TEST_F(SessionTest, AgentsObserveTheSameTick) {
  Serve(2);
  const std::string world = Create();
  const wire::ActionObservationSpecs specs = Join(a(), world, {{"agent", "a1"}});
  Join(b(), world);
  ExpectError(c().Send(JoinWorld(world)), Code_::kFailedPrecondition, "no free agent");
  ExpectError(c().Send(JoinWorld(world, {{"agent", "a1"}})), Code_::kFailedPrecondition,
              "client 1");
  const uint64_t tick = IdOf(specs, "tick"), acted = IdOf(specs, "acted");
  for (int step = 0; step < 8; ++step) {
    const std::shared_ptr<Call> first = a().Begin(Act(step % 4, {tick, acted}));
    EXPECT_FALSE(first->WaitFor(absl::Milliseconds(2)));
    const std::shared_ptr<Call> second = b().Begin(Act((step + 1) % 4, {tick, acted}));
    EXPECT_EQ(State(first->Answer()), step % 4 < 3 ? wire::RUNNING : wire::TERMINATED);
    EXPECT_EQ(Int(first->Answer(), tick), step % 4);
    EXPECT_EQ(Int(second->Answer(), tick), step % 4);
    if (step % 4 == 0) continue;
    const auto& both = first->Answer().step().observations().at(acted).int32s();
    EXPECT_EQ(both.array(1), step % 4);
    EXPECT_EQ(both.array(0), (step + 1) % 4);
  }
}

TEST_F(SessionTest, StepsWaitForAgentsToJoin) {
  RegistryOptions options;
  options.barrier_timeout = absl::Milliseconds(300);
  Serve(2, options);
  const std::string world = Create();
  Join(a(), world);
  ExpectError(a().Send(StepWith({})), Code_::kDeadlineExceeded, "agent 'a1' (not joined)");
  const std::shared_ptr<Call> step = a().Begin(StepWith({}));
  EXPECT_FALSE(step->WaitFor(kMoment));
  Join(b(), world);
  b().Send(StepWith({}));
  EXPECT_EQ(State(step->Answer()), wire::RUNNING);
  ExpectError(a().Send(Act(1)), Code_::kDeadlineExceeded, "agent 'a1' (client 2)");
  const std::shared_ptr<Call> again = a().Begin(Act(2));
  b().Send(Act(2));
  EXPECT_EQ(State(again->Answer()), wire::RUNNING);
}

TEST_F(SessionTest, ScriptedAgentsAreNotWaitedFor) {
  Serve(2);
  const std::string world = Create({{"bot", "a0"}});
  ExpectError(a().Send(JoinWorld(world, {{"agent", "a0"}})), Code_::kFailedPrecondition,
              "scripted bot");
  Join(a(), world);
  EXPECT_EQ(State(a().Send(StepWith({}))), wire::RUNNING);
  EXPECT_EQ(State(a().Send(Act(1))), wire::RUNNING);
  wire::EnvironmentRequest describe;
  midlane::bridge::v1::DescribeWorldRequest which;
  which.set_world_name(world);
  describe.mutable_extension()->PackFrom(which);
  midlane::bridge::v1::DescribeWorldResponse description;
  ASSERT_TRUE(b().Send(describe).extension().UnpackTo(&description));
  EXPECT_EQ(description.environment(), "fake");
  EXPECT_FALSE(description.agents(0).joinable());
  EXPECT_TRUE(description.agents(1).joinable());
  EXPECT_EQ(description.masks(0).observation(), "mask");
  EXPECT_EQ(description.terms_size(), 2);
}

TEST_F(SessionTest, AVanishedClientEndsTheOthersStep) {
  Serve(2);
  const std::string world = Create();
  const wire::ActionObservationSpecs specs = Join(a(), world);
  const uint64_t tick = IdOf(specs, "tick");
  Join(b(), world);
  std::shared_ptr<Call> step = a().Begin(StepWith({}));
  b().Send(StepWith({}));
  step = a().Begin(Act(1, {tick}));
  EXPECT_FALSE(step->WaitFor(kMoment));
  b().Vanish();
  ExpectError(step->Answer(), Code_::kAborted, "agent 'a1' (client 2) vanished");
  // The sequence is over for the one who stayed, and a new one waits for an agent.
  const wire::EnvironmentResponse last = a().Send(Act(1, {tick}));
  EXPECT_EQ(State(last), wire::INTERRUPTED);
  EXPECT_EQ(Int(last, tick), 0);
  step = a().Begin(StepWith({tick}));
  EXPECT_FALSE(step->WaitFor(kMoment));
  Join(c(), world);
  EXPECT_EQ(State(c().Send(StepWith({}))), wire::RUNNING);
  EXPECT_EQ(State(step->Answer()), wire::RUNNING);
  EXPECT_EQ(Int(step->Answer(), tick), 0);
}

TEST_F(SessionTest, VanishingWhileTheGameThinks) {
  Serve(2);
  const std::string world = Create();
  Join(a(), world);
  Join(b(), world);
  std::shared_ptr<Call> step = a().Begin(StepWith({}));
  b().Send(StepWith({}));
  control_.Hold();
  step = a().Begin(Act(1));
  const std::shared_ptr<Call> theirs = b().Begin(Act(1));
  EXPECT_FALSE(step->WaitFor(kMoment));
  b().Vanish();
  ExpectError(step->Answer(), Code_::kAborted, "vanished");
  ExpectError(theirs->Answer(), Code_::kCancelled, "gone");
  const std::shared_ptr<Call> last = a().Begin(StepWith({}));
  EXPECT_FALSE(last->WaitFor(kMoment));
  control_.Release(1);
  EXPECT_EQ(State(last->Answer()), wire::INTERRUPTED);
  control_.Release(100);
  Join(c(), world);
  step = a().Begin(StepWith({}));
  EXPECT_EQ(State(c().Send(StepWith({}))), wire::RUNNING);
  EXPECT_EQ(State(step->Answer()), wire::RUNNING);
}

TEST_F(SessionTest, LeavingCutsTheSequence) {
  Serve(1);
  const std::string world = Create();
  const wire::ActionObservationSpecs specs = Join(a(), world);
  const uint64_t tick = IdOf(specs, "tick");
  a().Send(StepWith({}));
  a().Send(Act(1));
  a().Send(LeaveWorld());
  Join(b(), world);
  const wire::EnvironmentResponse response = b().Send(StepWith({tick}));
  EXPECT_EQ(State(response), wire::RUNNING);
  EXPECT_EQ(Int(response, tick), 0);
}

TEST_F(SessionTest, ResetBeginsAnotherSequence) {
  Serve(1);
  const std::string world = Create();
  const wire::ActionObservationSpecs specs = Join(a(), world);
  const uint64_t tick = IdOf(specs, "tick");
  EXPECT_EQ(a().Send(Reset()).reset().specs().SerializeAsString().size(),
            specs.SerializeAsString().size());
  EXPECT_TRUE(a().Send(Reset()).has_reset());
  EXPECT_EQ(control_.Count(&FakeControl::resets), 1);  // no-ops: nothing was running
  a().Send(StepWith({}));
  a().Send(Act(1));
  EXPECT_TRUE(a().Send(Reset()).has_reset());
  EXPECT_TRUE(a().Send(Reset()).has_reset());
  wire::EnvironmentResponse response = a().Send(StepWith({tick}, {{99, Choice(7)}}));
  EXPECT_EQ(State(response), wire::RUNNING);
  EXPECT_EQ(Int(response, tick), 0);
  EXPECT_EQ(control_.Count(&FakeControl::resets), 2);
  // World settings, for the only agent.
  EXPECT_TRUE(a().Send(Reset({{"length", "1"}, {"weights.one", "3"}})).has_reset());
  response = a().Send(StepWith({tick}));
  response = a().Send(Act(1, {IdOf(specs, "reward")}));
  EXPECT_EQ(State(response), wire::TERMINATED);
  EXPECT_EQ(Float(response, IdOf(specs, "reward")), 5);
}

TEST_F(SessionTest, OneAgentsResetLetsTheOthersFinish) {
  Serve(2);
  const std::string world = Create();
  const wire::ActionObservationSpecs specs = Join(a(), world);
  const uint64_t acted = IdOf(specs, "acted"), tick = IdOf(specs, "tick");
  Join(b(), world);
  std::shared_ptr<Call> step = a().Begin(StepWith({}));
  b().Send(StepWith({}));
  ExpectError(a().Send(Reset({{"length", "2"}})), Code_::kFailedPrecondition, "send ResetWorld");
  const std::shared_ptr<Call> reset = a().Begin(Reset());
  EXPECT_FALSE(reset->WaitFor(kMoment));
  // b plays on alone; a takes its default action.
  for (int i = 1; i <= 3; ++i) {
    const wire::EnvironmentResponse response = b().Send(Act(3, {acted, tick}));
    EXPECT_EQ(Int(response, tick), i);
    EXPECT_EQ(Int(response, acted), 0);
    EXPECT_EQ(State(response), i < 3 ? wire::RUNNING : wire::TERMINATED);
  }
  EXPECT_TRUE(reset->Answer().has_reset());
  step = a().Begin(StepWith({tick}));
  EXPECT_EQ(Int(b().Send(StepWith({tick})), tick), 0);
  EXPECT_EQ(Int(step->Answer(), tick), 0);
  // Both want it: at once.
  const std::shared_ptr<Call> mine = a().Begin(Reset());
  EXPECT_TRUE(b().Send(Reset()).has_reset());
  EXPECT_TRUE(mine->Answer().has_reset());
}

TEST_F(SessionTest, ResetWorldTellsEveryAgentOnce) {
  Serve(2);
  const std::string world = Create();
  const wire::ActionObservationSpecs specs = Join(a(), world);
  const uint64_t tick = IdOf(specs, "tick");
  Join(b(), world);
  std::shared_ptr<Call> step = a().Begin(StepWith({}));
  b().Send(StepWith({}));
  step = a().Begin(Act(1));
  b().Send(Act(1));
  // From a connection that is no agent; one agent waits in a step, the other thinks.
  step = a().Begin(Act(1, {tick}));
  const std::shared_ptr<Call> reset = c().Begin(ResetWorld(world, {{"length", "1"}}));
  EXPECT_EQ(State(step->Answer()), wire::INTERRUPTED);
  EXPECT_EQ(Int(step->Answer(), tick), 1);  // the last of the old sequence
  EXPECT_FALSE(reset->WaitFor(kMoment));
  ExpectError(c().Send(JoinWorld(world)), Code_::kFailedPrecondition, "no free agent");
  const wire::EnvironmentResponse last = b().Send(Act(1, {tick}));
  EXPECT_EQ(State(last), wire::INTERRUPTED);
  EXPECT_EQ(Int(last, tick), 1);
  EXPECT_TRUE(reset->Answer().has_reset_world());
  step = a().Begin(StepWith({tick}));
  EXPECT_EQ(Int(b().Send(StepWith({tick})), tick), 0);
  step = a().Begin(Act(1));
  EXPECT_EQ(State(b().Send(Act(1))), wire::TERMINATED);
  // From an agent: it is not told, the other is not running, so it is done at once.
  EXPECT_TRUE(a().Send(ResetWorld(world)).has_reset_world());
  step = a().Begin(StepWith({tick}));
  EXPECT_EQ(State(b().Send(StepWith({tick}))), wire::RUNNING);
  const std::shared_ptr<Call> joined = a().Begin(ResetWorld(world));
  ExpectError(c().Send(ResetWorld(world)), Code_::kAborted, "another ResetWorld");
  EXPECT_EQ(State(b().Send(Act(0))), wire::INTERRUPTED);
  EXPECT_TRUE(joined->Answer().has_reset_world());
  // A client that vanishes while it waits takes its request with it.
  step = a().Begin(StepWith({tick}));
  b().Send(StepWith({}));
  const std::shared_ptr<Call> lost = c().Begin(ResetWorld(world));
  c().Vanish();
  ExpectError(lost->Answer(), Code_::kCancelled, "gone");
}

TEST_F(SessionTest, ABrokenGameIsToldAndReplaced) {
  Serve(1);
  const std::string world = Create();
  const wire::ActionObservationSpecs specs = Join(a(), world);
  const uint64_t tick = IdOf(specs, "tick");
  a().Send(StepWith({}));
  control_.Break(absl::UnavailableError("the game crashed"));
  ExpectError(a().Send(Act(1)), Code_::kUnavailable, "the game crashed");
  const wire::EnvironmentResponse response = a().Send(StepWith({tick}));
  EXPECT_EQ(State(response), wire::RUNNING);
  EXPECT_EQ(Int(response, tick), 0);
  EXPECT_EQ(control_.Count(&FakeControl::restarts), 1);
  control_.Break(absl::InternalError("adapter.lua:7: oops"));
  ExpectError(a().Send(Act(1)), Code_::kInternal, "adapter.lua:7");
  EXPECT_TRUE(a().Send(ResetWorld(world, {{"length", "9"}})).has_reset_world());
  EXPECT_EQ(State(a().Send(StepWith({}))), wire::RUNNING);
  EXPECT_EQ(control_.Count(&FakeControl::restarts), 2);
}

TEST_F(SessionTest, DestroyEndsWhatWaits) {
  Serve(2);
  const std::string world = Create();
  Join(b(), world);
  const std::shared_ptr<Call> step = b().Begin(StepWith({}));
  EXPECT_FALSE(step->WaitFor(kMoment));
  EXPECT_TRUE(a().Send(DestroyWorld(world)).has_destroy_world());
  ExpectError(step->Answer(), Code_::kFailedPrecondition, "destroyed by client 1");
  ExpectError(b().Send(StepWith({})), Code_::kFailedPrecondition, "destroyed by client 1");
  EXPECT_EQ(control_.Count(&FakeControl::gone), 1);
  Join(b(), Create());  // without leaving what is gone
}

TEST_F(SessionTest, WorldsAreLimited) {
  RegistryOptions options;
  options.worlds_max = 2;
  Serve(1, options);
  const std::string first = Create();
  const std::string second = Create();
  EXPECT_NE(first, second);
  ExpectError(b().Send(CreateWorld()), Code_::kResourceExhausted, "--worlds");
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(
        b().Send(DestroyWorld(i == 0 ? second : absl::StrCat("fake-", i + 2))).has_destroy_world());
    EXPECT_TRUE(b().Send(CreateWorld()).has_create_world());
  }
}

TEST_F(SessionTest, WorldsOutliveTheirClientsByTheGrace) {
  RegistryOptions options;
  options.grace = absl::Milliseconds(400);
  Serve(1, options);
  const std::string kept = Create();
  Join(b(), kept);
  Create();
  a().Vanish();
  absl::SleepFor(absl::Milliseconds(150));
  EXPECT_EQ(registry_->worlds(), 2);
  absl::SleepFor(absl::Milliseconds(900));
  EXPECT_EQ(registry_->worlds(), 1);  // the one with an agent
  EXPECT_EQ(State(b().Send(StepWith({}))), wire::RUNNING);
  b().Vanish();
  absl::SleepFor(absl::Milliseconds(1050));
  EXPECT_EQ(registry_->worlds(), 0);
  EXPECT_EQ(control_.Count(&FakeControl::gone), 2);
}

TEST_F(SessionTest, DrainingEndsWaitsAndWorlds) {
  Serve(2);
  const std::string world = Create();
  Join(a(), world);
  const std::shared_ptr<Call> step = a().Begin(StepWith({}));
  registry_->Drain();
  ExpectError(step->Answer(), Code_::kUnavailable, "shutting down");
  ExpectError(b().Send(CreateWorld()), Code_::kUnavailable, "shutting down");
}

TEST_F(SessionTest, BytesThatAreNoRequestAreAnswered) {
  Serve(1);
  Session session(&*registry_, 9, "client 9");
  for (const std::string& bytes :
       {std::string("\xff\xff\xff\xff"), std::string("\x1a\x7f"), std::string("\x08")}) {
    Call call{wire::EnvironmentRequest()};
    wire::EnvironmentRequest scratch;
    session.HandleBytes(bytes, &scratch, call.response(), &call);
    ExpectError(call.Answer(), Code_::kInvalidArgument, "EnvironmentRequest");
  }
}

// Agents of a probe world in two threads: nobody's action is seen before it acted.
TEST_F(SessionTest, ProbeWorldsAgreeOnEveryTick) {
  registry_ = std::make_unique<WorldRegistry>(
      RegistryOptions(),
      [](const Settings& settings, uint64_t seed, const std::shared_ptr<Doorbell>& doorbell) {
        EnvOptions options;
        options.name = "probe";
        options.settings = settings;
        options.seed = seed;
        options.doorbell = doorbell;
        return MakeEnv(options);
      });
  for (int i = 1; i <= 2; ++i) clients_.push_back(std::make_unique<LocalClient>(&*registry_, i));
  const std::string world = Create({{"agents", "2"}, {"length", "20"}});
  std::vector<int> frames[2];
  std::vector<std::thread> threads;
  for (int side = 0; side < 2; ++side) {
    LocalClient* client = clients_[side].get();
    const wire::ActionObservationSpecs specs = Join(*client, world);
    threads.emplace_back([=, &frames] {
      const uint64_t frame = IdOf(specs, "frame");
      for (int i = 0; i < 200; ++i) {
        frames[side].push_back(Int(client->Send(Act(i % 4, {frame})), frame));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(frames[0], frames[1]);
  EXPECT_EQ(frames[0].size(), 200u);
}

}  // namespace
}  // namespace midlane::rpc
