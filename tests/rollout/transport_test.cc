#include "rollout/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "rollout/hash.h"

namespace midlane {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(20);

ChunkShape TestShape() {
  ChunkShape shape;
  shape.inputs = 8;
  shape.logits = 3;
  shape.heads = 1;
  shape.terms = 1;
  shape.environment_hash = 11;
  shape.network_hash = 22;
  return shape;
}

LearnerTransportOptions LearnerOptions() {
  LearnerTransportOptions options;
  options.environment_hash = 11;
  options.network_hash = 22;
  options.credits_total = 6;
  return options;
}

WorkerTransportOptions WorkerOptions(const std::string& address, uint64_t worker) {
  WorkerTransportOptions options;
  options.learner = address;
  options.hello.set_worker(worker);
  options.hello.set_environment_hash(11);
  options.hello.set_network_hash(22);
  options.timeout = kLong;
  return options;
}

std::unique_ptr<LearnerTransport> Bind(LearnerTransportOptions options) {
  auto transport = LearnerTransport::Bind(std::move(options));
  EXPECT_TRUE(transport.ok()) << transport.status();
  return transport.ok() ? *std::move(transport) : nullptr;
}

std::unique_ptr<WorkerTransport> Connect(const std::string& address, uint64_t worker) {
  auto transport = WorkerTransport::Connect(WorkerOptions(address, worker));
  EXPECT_TRUE(transport.ok()) << transport.status();
  return transport.ok() ? *std::move(transport) : nullptr;
}

// Polls until `done`, or long enough to call it never.
bool PollUntil(WorkerTransport* worker, const std::function<bool()>& done) {
  const absl::Time deadline = absl::Now() + kLong;
  while (!done()) {
    if (absl::Now() > deadline || !worker->Poll(absl::Milliseconds(50)).ok()) return false;
  }
  return true;
}

bool WaitUntil(const std::function<bool()>& done) {
  const absl::Time deadline = absl::Now() + kLong;
  while (!done()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

// Takes in what comes for a while in which nothing more should come.
void Settle(WorkerTransport* worker) {
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(worker->Poll(absl::Milliseconds(20)).ok());
}

absl::Status SendChunk(WorkerTransport* transport, uint64_t worker, uint64_t number,
                       uint32_t steps = 16) {
  MutableChunk chunk(TestShape(), steps);
  for (float& x : chunk.arrays().inputs) x = static_cast<float>(number);
  for (uint8_t& x : chunk.arrays().ends) x = 0;
  for (uint8_t& x : chunk.arrays().starts) x = 0;
  v1::ChunkHeader header;
  header.set_worker(worker);
  header.set_number(number);
  header.add_version(1);
  header.add_version_steps(steps);
  auto payload = chunk.Finish(steps, &header);
  return transport->SendChunk(header, std::move(payload));
}

// The next chunk, checked to the last byte; its number.
uint64_t ReceiveChunk(LearnerTransport* learner, uint64_t worker) {
  auto received = learner->Receive(kLong);
  EXPECT_TRUE(received.ok()) << received.status();
  if (!received.ok() || !received->message.has_chunk()) return UINT64_MAX;
  const v1::ChunkHeader& header = received->message.chunk();
  EXPECT_EQ(header.worker(), worker);
  const auto view = ParseChunk(TestShape(), header, received->payload->bytes());
  EXPECT_TRUE(view.ok()) << view.status();
  if (view.ok()) {
    EXPECT_EQ(view->inputs[0], static_cast<float>(header.number()));
  }
  return header.number();
}

class Folder {
 public:
  Folder() {
    char path[] = "/tmp/transport_test.XXXXXX";
    path_ = mkdtemp(path);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string Ipc(const std::string& name) const { return "ipc://" + path_ + "/" + name; }

 private:
  std::string path_;
};

// A child made while this process has no thread of ZeroMQ's; it begins when told the address.
class Child {
 public:
  explicit Child(const std::function<int(const std::string& address)>& body) {
    int ends[2];
    if (pipe(ends) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      close(ends[1]);
      char text[256] = {};
      if (read(ends[0], text, sizeof text - 1) <= 0) _exit(3);
      _exit(body(text));
    }
    close(ends[0]);
    tell_ = ends[1];
  }
  ~Child() {
    close(tell_);
    Kill();
  }
  void Begin(const std::string& address) { (void)!write(tell_, address.data(), address.size()); }
  void Signal(int number) { kill(pid_, number); }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    Join();
  }
  int Join() {
    int status = 0;
    waitpid(std::exchange(pid_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_;
  int tell_;
};

// ---- Experience and credits -----------------------------------------------------------------

TEST(TransportTest, ChunksReportsAndGoodbyeArriveInOrder) {
  Folder folder;
  for (const std::string& listen : {std::string("tcp://127.0.0.1:*"), folder.Ipc("learner")}) {
    auto options = LearnerOptions();
    options.listen = listen;
    auto learner = Bind(options);
    auto worker = Connect(learner->address(), 7);
    ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 6; }));
    EXPECT_EQ(learner->workers(), 1u);
    for (uint64_t number = 0; number < 3; ++number) {
      // Small and large: in place in ZeroMQ's read buffer, and in a buffer of their own.
      ASSERT_TRUE(SendChunk(worker.get(), 7, number, number == 1 ? 4000 : 16).ok());
    }
    v1::FromWorker message;
    message.mutable_report()->set_worker(7);
    message.mutable_report()->set_last_error("none");
    ASSERT_TRUE(worker->Send(message).ok());
    message.mutable_result()->set_worker(7);
    ASSERT_TRUE(worker->Send(message).ok());
    message.mutable_goodbye()->set_worker(7);
    message.mutable_goodbye()->set_produced_chunks(3);
    ASSERT_TRUE(worker->Send(message).ok());
    for (uint64_t number = 0; number < 3; ++number) {
      EXPECT_EQ(ReceiveChunk(learner.get(), 7), number);
    }
    auto report = learner->Receive(kLong);
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->message.report().last_error(), "none");
    EXPECT_EQ(report->payload, nullptr);
    ASSERT_TRUE(learner->Receive(kLong)->message.has_result());
    auto goodbye = learner->Receive(kLong);
    ASSERT_TRUE(goodbye.ok());
    EXPECT_EQ(goodbye->message.goodbye().produced_chunks(), 3u);
    EXPECT_TRUE(WaitUntil([&] { return learner->workers() == 0; }));
    EXPECT_EQ(learner->Receive(absl::ZeroDuration()).status().code(),
              absl::StatusCode::kDeadlineExceeded);
  }
}

TEST(TransportTest, WhatAWorkerLeavesBehindAtItsEndStillArrives) {
  auto learner = Bind(LearnerOptions());
  {
    auto worker = Connect(learner->address(), 7);
    ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 6; }));
    for (uint64_t number = 0; number < 6; ++number) {
      ASSERT_TRUE(SendChunk(worker.get(), 7, number, 4000).ok());
    }
  }
  for (uint64_t number = 0; number < 6; ++number) {
    EXPECT_EQ(ReceiveChunk(learner.get(), 7), number);
  }
}

TEST(TransportTest, CreditIsSpentAndGrantedToTheChunk) {
  auto learner = Bind(LearnerOptions());
  auto worker = Connect(learner->address(), 7);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 6; }));
  uint64_t number = 0;
  for (; number < 6; ++number) ASSERT_TRUE(SendChunk(worker.get(), 7, number).ok());
  EXPECT_EQ(worker->credits(), 0u);
  EXPECT_EQ(SendChunk(worker.get(), 7, 99).code(), absl::StatusCode::kFailedPrecondition);
  Settle(worker.get());
  EXPECT_EQ(worker->credits(), 0u) << "nothing was granted yet";
  for (uint64_t i = 0; i < 6; ++i) EXPECT_EQ(ReceiveChunk(learner.get(), 7), i);
  learner->Grant(7, 2);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 2; }));
  learner->Grant(7, 1000);  // more than was in hand
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 6; }));
  learner->Grant(7, 5);  // nothing is in hand
  learner->Grant(8, 5);  // nobody
  Settle(worker.get());
  EXPECT_EQ(worker->credits(), 6u);
}

TEST(TransportTest, ALateWorkerIsDealtCreditAsItComesBack) {
  auto learner = Bind(LearnerOptions());
  auto first = Connect(learner->address(), 1);
  ASSERT_TRUE(PollUntil(first.get(), [&] { return first->credits() == 6; }));
  auto second = Connect(learner->address(), 2);
  Settle(second.get());
  EXPECT_EQ(second->credits(), 0u);
  for (uint64_t number = 0; number < 4; ++number) {
    ASSERT_TRUE(SendChunk(first.get(), 1, number).ok());
    EXPECT_EQ(ReceiveChunk(learner.get(), 1), number);
  }
  learner->Grant(1, 4);
  // 2 are still held by the first; shares are 3.
  ASSERT_TRUE(PollUntil(second.get(), [&] { return second->credits() == 3; }));
  ASSERT_TRUE(PollUntil(first.get(), [&] { return first->credits() == 3; }));
}

TEST(TransportTest, AnOrderlyLeaverFreesItsCredit) {
  auto learner = Bind(LearnerOptions());
  auto first = Connect(learner->address(), 1);
  ASSERT_TRUE(PollUntil(first.get(), [&] { return first->credits() == 6; }));
  auto second = Connect(learner->address(), 2);
  v1::FromWorker message;
  message.mutable_goodbye()->set_worker(1);
  ASSERT_TRUE(first->Send(message).ok());
  ASSERT_TRUE(PollUntil(second.get(), [&] { return second->credits() == 6; }));
}

TEST(TransportTest, AWorkerThatIsBackBeforeItWasMissedBeginsFreshBooks) {
  auto learner = Bind(LearnerOptions());
  auto worker = Connect(learner->address(), 1);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 6; }));
  ASSERT_TRUE(SendChunk(worker.get(), 1, 0).ok());
  EXPECT_EQ(ReceiveChunk(learner.get(), 1), 0u);
  worker.reset();
  worker = Connect(learner->address(), 1);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 5; }));
  Settle(worker.get());
  EXPECT_EQ(worker->credits(), 5u);
  EXPECT_EQ(learner->workers(), 1u);
}

TEST(TransportTest, AKilledWorkersCreditGoesToTheOthersAndItsChunksStayOnTheBooks) {
  Child child([](const std::string& address) {
    auto worker = WorkerTransport::Connect(WorkerOptions(address, 1));
    if (!worker.ok()) return 1;
    while ((*worker)->credits() < 6) {
      if (!(*worker)->Poll(absl::Milliseconds(50)).ok()) return 2;
    }
    for (uint64_t number = 0; number < 2; ++number) {
      if (!SendChunk(worker->get(), 1, number).ok()) return 3;
    }
    for (;;) (void)(*worker)->Poll(absl::Milliseconds(50));
  });
  auto learner = Bind(LearnerOptions());
  child.Begin(learner->address());
  EXPECT_EQ(ReceiveChunk(learner.get(), 1), 0u);
  EXPECT_EQ(ReceiveChunk(learner.get(), 1), 1u);
  auto other = Connect(learner->address(), 2);
  Settle(other.get());
  EXPECT_EQ(other->credits(), 0u);
  child.Kill();
  ASSERT_TRUE(PollUntil(other.get(), [&] { return other->credits() == 4; }));
  EXPECT_EQ(learner->workers(), 1u);
  Settle(other.get());
  EXPECT_EQ(other->credits(), 4u) << "two chunks of the dead worker are in hand";
  learner->Grant(1, 2);
  ASSERT_TRUE(PollUntil(other.get(), [&] { return other->credits() == 6; }));
}

TEST(TransportTest, AFrozenWorkerIsNoticedAndTakenBack) {
  Child child([](const std::string& address) {
    auto worker = WorkerTransport::Connect(WorkerOptions(address, 1));
    if (!worker.ok()) return 1;
    for (;;) {
      if (!(*worker)->Poll(absl::Milliseconds(50)).ok()) return 2;
    }
  });
  auto learner = Bind(LearnerOptions());
  child.Begin(learner->address());
  ASSERT_TRUE(WaitUntil([&] { return learner->workers() == 1; }));
  child.Signal(SIGSTOP);
  ASSERT_TRUE(WaitUntil([&] { return learner->workers() == 0; }));
  child.Signal(SIGCONT);
  ASSERT_TRUE(WaitUntil([&] { return learner->workers() == 1; }));
}

// ---- Welcome, refusal, notices --------------------------------------------------------------

TEST(TransportTest, ForeignWorkersAreRefusedInWords) {
  auto learner = Bind(LearnerOptions());
  auto options = WorkerOptions(learner->address(), 1);
  options.hello.set_environment_hash(99);
  auto worker = WorkerTransport::Connect(options);
  ASSERT_EQ(worker.status().code(), absl::StatusCode::kFailedPrecondition) << worker.status();
  EXPECT_THAT(std::string(worker.status().message()), HasSubstr("environment"));
  options = WorkerOptions(learner->address(), 2);
  options.hello.set_network_hash(99);
  worker = WorkerTransport::Connect(options);
  ASSERT_EQ(worker.status().code(), absl::StatusCode::kFailedPrecondition) << worker.status();
  EXPECT_THAT(std::string(worker.status().message()), HasSubstr("[network]"));
  EXPECT_EQ(learner->workers(), 0u);
}

TEST(TransportTest, TheLastNoticeReachesEverybodyAndLateJoiners) {
  auto learner = Bind(LearnerOptions());
  auto early = Connect(learner->address(), 1);
  EXPECT_EQ(early->notice(), nullptr);
  v1::Notice notice;
  for (uint64_t version = 1; version <= 3; ++version) {
    notice.set_version(version);
    learner->Announce(notice);
  }
  const auto version = [](const WorkerTransport& worker) {
    return worker.notice() == nullptr ? 0 : worker.notice()->version();
  };
  EXPECT_TRUE(PollUntil(early.get(), [&] { return version(*early) == 3; }));
  auto late = Connect(learner->address(), 2);
  EXPECT_TRUE(PollUntil(late.get(), [&] { return version(*late) == 3; }));
}

TEST(TransportTest, ARestartedLearnerBeginsFreshBooksWithTheSameWorker) {
  Folder folder;
  auto options = LearnerOptions();
  options.listen = folder.Ipc("learner");
  auto learner = Bind(options);
  auto worker = Connect(learner->address(), 1);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 6; }));
  ASSERT_TRUE(SendChunk(worker.get(), 1, 0).ok());
  EXPECT_EQ(ReceiveChunk(learner.get(), 1), 0u);
  learner.reset();
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 0; }));
  options.credits_total = 4;
  learner = Bind(options);
  v1::Notice notice;
  notice.set_version(9);
  learner->Announce(notice);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 4; }));
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->notice() != nullptr; }));
  EXPECT_EQ(worker->notice()->version(), 9u);
  for (uint64_t number = 1; number <= 4; ++number) {
    ASSERT_TRUE(SendChunk(worker.get(), 1, number).ok());
    EXPECT_EQ(ReceiveChunk(learner.get(), 1), number);
  }
  learner->Grant(1, 4);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 4; }));
}

TEST(TransportTest, ChunksSentIntoARestartArriveAndAreOnTheNewBooks) {
  Folder folder;
  auto options = LearnerOptions();
  options.listen = folder.Ipc("learner");
  auto learner = Bind(options);
  auto worker = Connect(learner->address(), 1);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 6; }));
  learner.reset();
  absl::SleepFor(absl::Milliseconds(50));
  // The worker has not looked since: by its books it may send.
  for (uint64_t number = 0; number < 2; ++number) {
    ASSERT_TRUE(SendChunk(worker.get(), 1, number).ok());
  }
  learner = Bind(options);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 4; }));
  Settle(worker.get());
  EXPECT_EQ(worker->credits(), 4u);
  EXPECT_EQ(ReceiveChunk(learner.get(), 1), 0u);
  EXPECT_EQ(ReceiveChunk(learner.get(), 1), 1u);
  learner->Grant(1, 2);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 6; }));
}

TEST(TransportTest, AnAbsentLearnerIsUnavailableInWords) {
  Folder folder;
  auto options = WorkerOptions(folder.Ipc("nobody"), 1);
  options.timeout = absl::Milliseconds(300);
  auto worker = WorkerTransport::Connect(options);
  ASSERT_EQ(worker.status().code(), absl::StatusCode::kUnavailable) << worker.status();
  EXPECT_THAT(std::string(worker.status().message()), HasSubstr(folder.Ipc("nobody")));
}

TEST(TransportTest, AWorkerGivesUpOnALearnerThatStaysAway) {
  auto learner = Bind(LearnerOptions());
  auto options = WorkerOptions(learner->address(), 1);
  options.timeout = absl::Seconds(1);
  auto worker = WorkerTransport::Connect(options);
  ASSERT_TRUE(worker.ok()) << worker.status();
  learner.reset();
  absl::Status status;
  ASSERT_TRUE(WaitUntil([&] {
    status = (*worker)->Poll(absl::Milliseconds(50));
    return !status.ok();
  }));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
}

// ---- Addresses ------------------------------------------------------------------------------

TEST(TransportTest, ASecondLearnerAtAnAddressIsRefused) {
  Folder folder;
  auto options = LearnerOptions();
  options.listen = folder.Ipc("learner");
  auto first = Bind(options);
  auto second = LearnerTransport::Bind(options);
  ASSERT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(options.listen));
  // The first was not harmed by the attempt.
  auto worker = Connect(options.listen, 1);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 6; }));

  auto tcp = Bind(LearnerOptions());
  auto other = LearnerOptions();
  other.listen = tcp->address();
  second = LearnerTransport::Bind(other);
  ASSERT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
  other = LearnerOptions();
  other.weights = tcp->weights_address();
  second = LearnerTransport::Bind(other);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
}

TEST(TransportTest, TheSocketOfAKilledLearnerIsTakenOver) {
  Child child([](const std::string& address) {
    auto options = LearnerOptions();
    options.listen = address;
    auto learner = LearnerTransport::Bind(options);
    if (!learner.ok()) return 1;
    for (;;) pause();
  });
  Folder folder;
  auto options = LearnerOptions();
  options.listen = folder.Ipc("learner");
  child.Begin(options.listen);
  auto worker = Connect(options.listen, 1);
  EXPECT_EQ(LearnerTransport::Bind(options).status().code(), absl::StatusCode::kAlreadyExists);
  child.Kill();
  auto learner = Bind(options);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return learner->workers() == 1; }));
}

TEST(TransportTest, AddressesThatCannotBeAreRefusedInWords) {
  const std::string long_path = "ipc:///tmp/" + std::string(120, 'x');
  for (const std::string& address :
       {std::string("localhost:80"), std::string("ipc://"), std::string("tcp://:80"),
        std::string("tcp://host"), std::string("tcp://host:99999"), long_path}) {
    auto options = LearnerOptions();
    options.listen = address;
    auto learner = LearnerTransport::Bind(options);
    EXPECT_EQ(learner.status().code(), absl::StatusCode::kInvalidArgument) << learner.status();
    auto worker = WorkerTransport::Connect(WorkerOptions(address, 1));
    EXPECT_EQ(worker.status().code(), absl::StatusCode::kInvalidArgument) << worker.status();
  }
  auto options = LearnerOptions();
  options.listen = "ipc:///nonexistent/folder/learner";
  auto learner = LearnerTransport::Bind(options);
  EXPECT_EQ(learner.status().code(), absl::StatusCode::kInvalidArgument) << learner.status();
  EXPECT_EQ(WorkerTransport::Connect(WorkerOptions("tcp://127.0.0.1:1", 0)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// ---- Weights --------------------------------------------------------------------------------

std::string Blob(size_t bytes) {
  std::string blob(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) blob[i] = static_cast<char>(i * 131 + (i >> 11));
  return blob;
}

TEST(TransportTest, VersionsOfEverySizeAreFetched) {
  auto learner = Bind(LearnerOptions());
  auto worker = Connect(learner->address(), 1);
  uint64_t version = 0;
  for (size_t bytes : {size_t{1}, size_t{5000}, size_t{kWeightsPartBytes},
                       size_t{kWeightsPartBytes} + 1, size_t{30} * kWeightsPartBytes - 5}) {
    const auto blob = std::make_shared<const std::string>(Blob(bytes));
    learner->Serve(++version, blob);
    auto frame = worker->FetchWeights(version, bytes, Hash64(*blob));
    ASSERT_TRUE(frame.ok()) << bytes << ": " << frame.status();
    EXPECT_EQ((*frame)->bytes(), *blob);
  }
}

TEST(TransportTest, ARetiredVersionIsNotFoundAndOneBeingSentIsFinished) {
  auto learner = Bind(LearnerOptions());
  auto worker = Connect(learner->address(), 1);
  const auto blob = std::make_shared<const std::string>(Blob(100));
  learner->Serve(1, blob);
  learner->Retire(1);
  auto frame = worker->FetchWeights(1, blob->size(), Hash64(*blob));
  EXPECT_EQ(frame.status().code(), absl::StatusCode::kNotFound) << frame.status();
  learner->Serve(1, blob);
  frame = worker->FetchWeights(1, blob->size(), Hash64(*blob));
  EXPECT_TRUE(frame.ok()) << frame.status();
}

TEST(TransportTest, DamagedWeightsAreDataLoss) {
  auto learner = Bind(LearnerOptions());
  auto worker = Connect(learner->address(), 1);
  auto blob = std::make_shared<std::string>(Blob(3 * kWeightsPartBytes));
  const uint64_t hash = Hash64(*blob);
  learner->Serve(1, blob);
  // The whole is not what the notice said.
  auto frame = worker->FetchWeights(1, blob->size(), hash ^ 1);
  EXPECT_EQ(frame.status().code(), absl::StatusCode::kDataLoss) << frame.status();
  // A part changes after its hash was taken, as on a bad wire.
  (*blob)[2 * kWeightsPartBytes + 77] ^= 1;
  frame = worker->FetchWeights(1, blob->size(), hash);
  EXPECT_EQ(frame.status().code(), absl::StatusCode::kDataLoss) << frame.status();
  EXPECT_THAT(std::string(frame.status().message()),
              HasSubstr(absl::StrCat("offset ", 2 * kWeightsPartBytes)));
  (*blob)[2 * kWeightsPartBytes + 77] ^= 1;
  frame = worker->FetchWeights(1, blob->size(), hash);
  EXPECT_TRUE(frame.ok()) << frame.status();
  frame = worker->FetchWeights(1, blob->size() + 1, hash);
  EXPECT_EQ(frame.status().code(), absl::StatusCode::kDataLoss) << frame.status();
  EXPECT_EQ(worker->FetchWeights(2, kWeightsBytesMax + 1, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(TransportTest, FetchingFromAVanishedLearnerEndsInTime) {
  auto learner = Bind(LearnerOptions());
  auto worker = Connect(learner->address(), 1);
  learner.reset();
  auto frame = worker->FetchWeights(1, 1000, 1);
  EXPECT_EQ(frame.status().code(), absl::StatusCode::kUnavailable) << frame.status();
}

// ---- Strangers ------------------------------------------------------------------------------

TEST(TransportTest, StrangersAndGarbageAreIgnored) {
  auto learner = Bind(LearnerOptions());
  void* context = zmq_ctx_new();
  std::string right_identity = "W";
  const uint64_t stranger = 77;
  right_identity.append(reinterpret_cast<const char*>(&stranger), 8);
  v1::FromWorker chunk_of_another;
  chunk_of_another.mutable_chunk()->set_worker(78);
  v1::FromWorker own_chunk;
  own_chunk.mutable_chunk()->set_worker(77);
  const std::vector<std::vector<std::string>> messages = {
      {""},
      {"garbage"},
      {std::string(100, '\xff')},
      {"", "", "", "", ""},
      {own_chunk.SerializeAsString()},            // no payload
      {own_chunk.SerializeAsString(), "x", "y"},  // too much
      {chunk_of_another.SerializeAsString(), "payload"},
      {std::string(2 << 20, '\x0a')},  // an envelope beyond its limit
  };
  for (const std::string& address : {learner->address(), learner->weights_address()}) {
    for (const std::string& identity : {right_identity, std::string("stranger"), std::string()}) {
      void* socket = zmq_socket(context, ZMQ_DEALER);
      if (!identity.empty()) {
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, identity.data(), identity.size());
      }
      zmq_connect(socket, address.c_str());
      for (const auto& message : messages) {
        for (size_t i = 0; i < message.size(); ++i) {
          zmq_send(socket, message[i].data(), message[i].size(),
                   i + 1 < message.size() ? ZMQ_SNDMORE : 0);
        }
      }
      zmq_close(socket);  // lingers until all is sent
    }
  }
  zmq_ctx_term(context);
  auto worker = Connect(learner->address(), 1);
  ASSERT_TRUE(PollUntil(worker.get(), [&] { return worker->credits() == 6; }));
  ASSERT_TRUE(SendChunk(worker.get(), 1, 0).ok());
  EXPECT_EQ(ReceiveChunk(learner.get(), 1), 0u) << "the first thing that reaches Receive";
}

}  // namespace
}  // namespace midlane
