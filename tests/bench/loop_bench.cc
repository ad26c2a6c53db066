// The whole loop, as `midlane train` runs it: games, policy, ZeroMQ, learning, publishing.
//
// loop_null_mlp    MLP 64x64, minibatches of 64, 10 epochs, on `null` (16 inputs, 6 actions)
// loop_null_lstm   LSTM-512, windows of 16, 1 epoch, on `null`
//                  Primitive of both: the same engine's forward, backward and Adam on random
//                  tensors with nothing else running.
// loop_blobby      MLP 64-64, a decision every 4 frames, self-play, deploy/demo's settings.
//                  Primitive: the lower of the learner alone on stored data and the games with
//                  their policy alone, each on one core, as the loop uses them.
// loop_grpc        the same with every game behind one `midlane serve` on this machine, with the
//                  batches that `midlane train grpc://` has by default.
//                  Primitive: the loop over the local channel, with its own defaults.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "learner/batch.h"
#include "learner/ppo.h"
#include "learner/ppo_engine.h"
#include "tests/bench/bench.h"

namespace midlane::bench {
namespace {

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "loop_bench: %s\n", what.c_str());
  _exit(1);
}

// ---- The primitive --------------------------------------------------------------------------

struct Case {
  NetworkShape shape;
  PpoOptions ppo;
  uint32_t threads = 1;  // of libtorch
};

Batch RandomBatch(const Case& c) {
  BatchShape shape;
  shape.inputs = c.shape.inputs;
  shape.logits = c.shape.logits_width();
  shape.heads = static_cast<uint32_t>(c.shape.heads.size());
  shape.terms = 1;
  shape.state = c.shape.state_width();
  shape.window = c.ppo.window;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const auto fill = [&](size_t size) {
    std::vector<float> values(size);
    for (float& value : values) value = normal(random);
    return values;
  };
  Batch batch(shape);
  const uint32_t steps = 256;
  for (uint32_t n = 0; n < c.ppo.batch_steps; n += steps) {
    const auto inputs = fill(steps * shape.inputs), terms = fill(steps), values = fill(steps),
               bootstrap = std::vector<float>(steps),
               states = fill(steps / shape.window * shape.state),
               log_probs = std::vector<float>(steps, -1.79f);
    std::vector<int32_t> actions(steps);
    for (int32_t& action : actions) action = static_cast<int32_t>(random() % c.shape.heads[0]);
    const std::vector<uint8_t> ends(steps), starts(steps);
    ChunkData chunk;
    chunk.worker = 1;
    chunk.episode = n;
    chunk.steps = steps;
    chunk.versions = {{1, steps}};
    chunk.inputs = inputs;
    chunk.actions = actions;
    chunk.log_probs = log_probs;
    chunk.values = values;
    chunk.terms = terms;
    chunk.ends = ends;
    chunk.bootstrap = bootstrap;
    chunk.states = states;
    chunk.starts = starts;
    batch.Append(chunk);
  }
  return batch;
}

// Timesteps a second of training alone.
double LearnerAlone(const Case& c, double seconds) {
  std::unique_ptr<PpoEngine> engine;
  if (c.shape.config.lstm == 0) {
    engine = MakeMlpEngine(c.shape);
  } else {
    auto made = MakeTorchEngine(c.shape, "cpu", c.threads);
    if (!made.ok()) Fail(made.status().ToString());
    engine = *std::move(made);
  }
  engine->SetParameters(InitialParameters(c.shape, 1));
  Batch batch = RandomBatch(c);
  ReturnDeviation deviation;
  FinishBatch(c.ppo, {1.0f}, &deviation, &batch);
  const std::vector<float> mean(c.shape.inputs, 0.0f), inv_std(c.shape.inputs, 1.0f);
  PpoIteration iteration;
  iteration.lstm = c.shape.config.lstm > 0;
  double start = 0;
  uint64_t steps = 0;
  for (;; ++iteration.iteration) {
    if (iteration.iteration == 1) start = Now();
    if (iteration.iteration > 1 && Now() - start >= seconds) break;
    if (!engine->SetBatch(batch, mean, inv_std).ok()) Fail("SetBatch");
    auto figures = TrainPpo(c.ppo, iteration, batch, engine.get());
    if (!figures.ok()) Fail(figures.status().ToString());
    if (iteration.iteration >= 1) steps += batch.steps();
  }
  return static_cast<double>(steps) / (Now() - start);
}

// The same in a process of its own, on one processor (-1: on any).
double LearnerAloneOn(const Case& c, double seconds, int cpu) {
  int ends[2];
  if (pipe(ends) != 0) Fail("pipe");
  const pid_t child = fork();
  if (child == 0) {
    Pin(cpu);
    const double rate = LearnerAlone(c, seconds);
    if (write(ends[1], &rate, sizeof(rate)) != sizeof(rate)) Fail("write");
    _exit(0);
  }
  close(ends[1]);
  double rate = 0;
  if (read(ends[0], &rate, sizeof(rate)) != sizeof(rate)) Fail("the primitive failed");
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return rate;
}

// ---- The loop -------------------------------------------------------------------------------

double Field(const std::string& line, const std::string& name) {
  const size_t at = line.find("\"" + name + "\":");
  if (at == std::string::npos) Fail("metrics.jsonl has no field " + name);
  return std::atof(line.c_str() + at + name.size() + 3);
}

struct LoopRates {
  double timesteps = 0;   // a second, after the first quarter of the run
  double game_speed = 0;  // multiple of real time
};

LoopRates Loop(const std::string& environment, const std::vector<std::string>& settings,
               double seconds) {
  const char* build = std::getenv("MIDLANE_BUILD_DIR");
  if (build == nullptr) Fail("MIDLANE_BUILD_DIR is not set; start this by tests/bench/run");
  char folder[] = "/tmp/midlane-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) Fail("mkdtemp");
  std::string command = std::string("cd ") + folder + " && " + build + "/bin/midlane train " +
                        environment + " --run bench --quiet --seconds " + std::to_string(seconds);
  for (const std::string& setting : settings) command += " --set '" + setting + "'";
  command += " >log 2>&1";
  const int status = std::system(command.c_str());
  if (status != 0) Fail(command + " failed; see " + folder + "/log");
  std::ifstream metrics(std::string(folder) + "/runs/bench/metrics.jsonl");
  std::string line, first, last;
  while (std::getline(metrics, line)) {
    if (line.find("\"event\":\"iteration\"") == std::string::npos) continue;
    if (first.empty() && Field(line, "seconds") >= seconds / 4) first = line;
    last = line;
  }
  if (first.empty() || first == last) Fail("the run was too short to measure");
  std::filesystem::remove_all(folder);
  LoopRates rates;
  rates.timesteps = (Field(last, "timesteps") - Field(first, "timesteps")) /
                    (Field(last, "seconds") - Field(first, "seconds"));
  rates.game_speed = Field(last, "game_speed");
  return rates;
}

void NullRow(const char* name, const Case& c, std::vector<std::string> settings, double seconds) {
  Row row{.name = name,
          .unit = "timesteps/s",
          .primitive_name = "forward, backward, Adam alone",
          .bound = 0.6,
          .kind = Bound::kAtLeast};
  for (int i = Repeats(3); i > 0; --i) {
    row.primitive.push_back(LearnerAloneOn(c, seconds / 2, -1));
    row.measured.push_back(Loop("null", settings, seconds).timesteps);
  }
  Print(row);
}

Case MlpCase(uint32_t inputs) {
  Case c;
  c.shape.inputs = inputs;
  c.shape.heads = {6};
  c.shape.config.hidden = {64, 64};
  return c;
}

constexpr uint32_t kBlobbyEpochs = 8;  // of envs/blobby/train.toml

void BlobbyRow(double games_alone, double seconds) {
  Row row{.name = "loop_blobby",
          .unit = "decisions/s",
          .primitive_name = "lower of games and learner alone",
          .bound = 0.8,
          .kind = Bound::kAtLeast};
  Row absolute{.name = "loop_blobby_absolute",
               .unit = "decisions/s",
               .bound = 72000,
               .kind = Bound::kAtLeast};
  Case blobby = MlpCase(22);
  blobby.ppo.epochs = kBlobbyEpochs;
  for (int i = Repeats(3); i > 0; --i) {
    const double learner = LearnerAloneOn(blobby, seconds / 4, 1);
    const LoopRates rates = Loop("blobby", {"league.scripted_share=0"}, seconds);
    row.measured.push_back(rates.timesteps);
    row.primitive.push_back(std::min(learner, games_alone));
    absolute.measured.push_back(rates.timesteps);
  }
  Print(row);
  Print(absolute);
}

// `midlane serve blobby` on a Unix socket in a folder of its own, as long as it lives.
class Served {
 public:
  Served() {
    char folder[] = "/tmp/midlane-bench-XXXXXX";
    if (mkdtemp(folder) == nullptr) Fail("mkdtemp");
    folder_ = folder;
    const std::string program = std::string(std::getenv("MIDLANE_BUILD_DIR")) + "/bin/midlane";
    const std::string listen = "unix://" + folder_ + "/serve.sock";
    child_ = fork();
    if (child_ == 0) {
      if (freopen((folder_ + "/log").c_str(), "w", stdout) == nullptr) _exit(1);
      execl(program.c_str(), "midlane", "serve", "blobby", "--listen", listen.c_str(), nullptr);
      _exit(127);
    }
    for (int i = 0; i < 100 && access((folder_ + "/serve.sock").c_str(), F_OK) != 0; ++i) {
      usleep(100000);
    }
  }
  ~Served() {
    kill(child_, SIGINT);
    waitpid(child_, nullptr, 0);
    std::filesystem::remove_all(folder_);
  }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  std::string environment() const { return "grpc+unix://" + folder_ + "/serve.sock"; }

 private:
  std::string folder_;
  pid_t child_ = -1;
};

void GrpcRow(double seconds) {
  Row row{.name = "loop_grpc",
          .unit = "timesteps/s",
          .primitive_name = "over the local channel",
          .bound = 0.5,
          .kind = Bound::kAtLeast};
  const std::vector<std::string> settings = {"league.scripted_share=0"};
  for (int i = Repeats(3); i > 0; --i) {
    {
      const Served served;
      row.measured.push_back(Loop(served.environment(), settings, seconds).timesteps);
    }
    row.primitive.push_back(Loop("blobby", settings, seconds).timesteps);
  }
  Print(row);
}

// Decisions/s of games with their policy alone on one core, measured by blobby_bench.
double GamesAlone() {
  const std::string program =
      std::string(std::getenv("MIDLANE_BUILD_DIR")) + "/tests/bench/blobby_bench --decisions";
  FILE* output = popen(program.c_str(), "r");
  double rate = 0;
  char line[512];
  while (output != nullptr && std::fgets(line, sizeof(line), output) != nullptr) {
    std::sscanf(line, "ROW\tblobby_decisions_1_core\t%lf", &rate);
  }
  if (output == nullptr || pclose(output) != 0 || rate <= 0) Fail(program + " failed");
  return rate;
}

}  // namespace
}  // namespace midlane::bench

int main() {
  using midlane::bench::Case;
  // Shorter runs have no two iterations to measure between.
  const double seconds = std::max(8.0, midlane::bench::Seconds(20));

  Case mlp = midlane::bench::MlpCase(16);
  mlp.ppo.batch_steps = 2048;
  mlp.ppo.minibatch_steps = 64;
  mlp.ppo.epochs = 10;
  midlane::bench::NullRow("loop_null_mlp", mlp,
                          {"ppo.batch_steps=2048", "ppo.minibatch_steps=64", "ppo.epochs=10"},
                          seconds);

  Case lstm = midlane::bench::MlpCase(16);
  lstm.shape.config.hidden = {};
  lstm.shape.config.lstm = 512;
  lstm.ppo.batch_steps = 4096;
  lstm.ppo.minibatch_steps = 1024;
  lstm.ppo.epochs = 1;
  lstm.threads = 2;
  midlane::bench::NullRow("loop_null_lstm", lstm,
                          {"network.hidden=[]", "network.lstm=512", "ppo.batch_steps=4096",
                           "ppo.minibatch_steps=1024", "ppo.epochs=1", "run.games=64"},
                          seconds);

  if (access("/usr/games/blobby", X_OK) == 0) {
    midlane::bench::BlobbyRow(midlane::bench::GamesAlone(), seconds);
    midlane::bench::GrpcRow(seconds);
  } else {
    std::fprintf(stderr, "loop_bench: no /usr/games/blobby: its rows are left out\n");
  }
}
