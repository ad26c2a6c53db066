#include "deploy/config_fields.h"

namespace midlane {

const std::vector<ConfigSection>& ConfigSections() {
  static const auto* sections = new std::vector<ConfigSection>{
      {"run", "The run as a whole."},
      {"environment",
       "World settings, passed to every world; each environment documents its own (envs/NAME/)."},
      {"network", "Shape of the policy and value network, built from the environment's spec."},
      {"rollout", "How workers run games and cut experience."},
      {"ppo",
       "Proximal policy optimisation (Schulman et al. 2017) with GAE.\n"
       "Where a number may change over training, write { from = A, to = B, steps = N }:\n"
       "linear from A at timestep 0 to B at timestep N, and B from then on."},
      {"rewards",
       "Weight of each reward term of the environment; a term that is not named weighs "
       "nothing,\nbut where none is named each weighs 1. A weight may change over training, as "
       "above."},
      {"league", "Opponents in self-play (Berner et al. 2019, appendix N), and scripted bots."},
      {"learner", "The learner's process: device, network address, files."},
  };
  return *sections;
}

std::vector<ConfigField> ConfigFields(Config* config) {
  RunOptions& run = config->run;
  LearnerOptions& learner = config->learner;
  WorkerOptions& worker = config->worker;
  PpoOptions& ppo = learner.ppo;
  LeagueOptions& league = learner.league;
  const double kUint32Max = std::numeric_limits<uint32_t>::max();
  return {
      {"run", "environment", &run.environment,
       "a folder of envs/, \"null\", \"probe\", or grpc://HOST:PORT"},
      {"run", "seed", &run.seed, "of everything random: games, sampling, initial weights"},
      {"run", "seconds", &learner.seconds_max,
       "of training time over all resumes, then stop; 0: no limit"},
      {"run", "timesteps", &learner.timesteps_max, "of training, then stop; 0: no limit"},
      {"run", "target_win_rate", &learner.target_win_rate,
       "stop when the recent win rate against every scripted opponent is above; 0: never", 0, 1},
      {"run", "workers", &run.workers, "worker processes; 0: sized to the machine", 0, kWorkersMax},
      {"run", "games", &worker.games, "worlds that each worker runs", 1, kGamesMax},
      {"run", "learner_threads", &run.learner_threads,
       "of libtorch in the learner; 0: sized to the machine", 0, 1024},
      {"run", "policy", &run.policy, "backend of the workers' policy", 0, 0, {"native", "torch"}},
      {"run", "pin", &run.pin, "CPU affinity of learner and workers", 0, 0, {"auto", "off"}},
      {"run", "worker_nice", &run.worker_nice,
       "niceness of workers and games: the learner goes first on a core that they share, and so "
       "does every other program; lower it where that starves them",
       0, 19},
      {"run", "speed", &worker.env.speed,
       "game seconds a real second, for each world; 0: as fast as it goes", 0, 1e6},
      {"run", "render_every", &worker.env.render_every, "draw every n-th frame; 0: never", 0,
       kUint32Max},
      {"run", "timeout", &worker.env.timeout,
       "seconds that a game may take for a timestep or a start", 0.1, 3600},

      {"environment", "", &worker.settings, ""},

      {"network", "hidden", &learner.network.hidden, "width of each hidden layer", 1,
       kLayerWidthMax},
      {"network", "lstm", &learner.network.lstm, "width of an LSTM cell after them; 0: none", 0,
       kLayerWidthMax},
      {"network", "separate_value", &learner.network.separate_value,
       "the value has hidden layers of its own (without an LSTM)"},
      {"network", "activation", &learner.network.activation, "\"tanh\" or \"relu\""},

      {"rollout", "frame_skip", &worker.frame_skip,
       "game frames a timestep; 0: the environment's default", 0, 10000},
      {"rollout", "chunk_steps", &worker.chunk_steps, "timesteps of one message of experience", 1,
       kChunkStepsMax},
      {"rollout", "episode_steps_max", &worker.episode_steps_max,
       "a longer episode is truncated, and its match cut, in training; 0: never", 0, 1e9},
      {"rollout", "groups", &worker.groups,
       "2: one half of the games runs while the other is in the network; 1: all at once", 1, 2},
      {"rollout", "restarts_max", &worker.restarts_max,
       "deaths of one world in a row before its worker gives up", 0, 1e6},
      {"rollout", "server_wait_seconds", &worker.server_wait_seconds,
       "how long games behind a server (grpc://...) wait for it where it went away", 0, 1e6},

      {"ppo", "batch_steps", &ppo.batch_steps, "timesteps of an iteration", 1, 1e8},
      {"ppo", "minibatch_steps", &ppo.minibatch_steps, "timesteps of a gradient step", 1, 1e8},
      {"ppo", "epochs", &ppo.epochs, "times that an iteration's timesteps are trained on", 1, 1000},
      {"ppo", "window", &ppo.window,
       "timesteps of a training window: backpropagation through time (LSTM) ends there", 1,
       kChunkStepsMax},
      {"ppo", "learning_rate", &ppo.learning_rate, "of Adam", 0, 10},
      {"ppo", "entropy", &ppo.entropy, "weight of the entropy bonus", 0, 10},
      {"ppo", "clip", &ppo.clip, "of the probability ratio: 1 - clip to 1 + clip", 1e-6, 10},
      {"ppo", "value_clip", &ppo.value_clip, "of the value's change; 0: not clipped", 0, 1e6},
      {"ppo", "value_weight", &ppo.value_weight, "of the value loss", 0, 1e6},
      {"ppo", "gradient_norm_max", &ppo.gradient_norm_max, "longer gradients are scaled down", 1e-9,
       1e9},
      {"ppo", "gamma", &ppo.gamma, "discount a timestep", 0, 1},
      {"ppo", "gae_lambda", &ppo.gae_lambda, "of generalised advantage estimation", 0, 1},
      {"ppo", "normalise_advantage", &ppo.normalise_advantage, "over an iteration"},
      {"ppo", "normalise_reward", &ppo.normalise_reward,
       "by the running deviation of the discounted return"},
      {"ppo", "normalise_observation", &ppo.normalise_observation,
       "by the running mean and deviation"},
      {"ppo", "target_kl", &ppo.target_kl, "epochs end early above this divergence; 0: never", 0,
       1e6},
      {"ppo", "staleness_max", &ppo.staleness_max,
       "versions; older experience is dropped and counted", 0, 1e6},

      {"rewards", "", &learner.rewards, "", -1e6, 1e6},

      {"league", "latest_share", &league.latest_share,
       "of self-play against itself; the rest meets past versions", 0, 1},
      {"league", "add_every", &league.add_every, "iterations between additions to the pool", 1,
       1e9},
      {"league", "pool_max", &league.pool_max, "past versions kept; the weakest leaves", 1, 10000},
      {"league", "quality_rate", &league.quality_rate, "of the opponents' quality scores", 0, 1},
      {"league", "scripted_share", &league.scripted_share,
       "of game time against scripted bots, the rest is self-play", 0, 1},
      {"league", "scripted", &league.scripted,
       "bots, as \"NAME\" or \"NAME:STRENGTH\"; the first is the target of the progress line"},
      {"league", "scripted_by_loss_rate", &league.scripted_by_loss_rate,
       "a bot that wins more is met more; false: all equally often"},
      {"league", "scripted_ladder", &league.scripted_ladder,
       "the bots are a ladder: one is met once the one before it is beaten; false: all from the "
       "start"},

      {"learner", "listen", &learner.listen, "where workers connect; * picks a free port"},
      {"learner", "device", &learner.device, "\"cpu\", \"cuda\" or \"cuda:N\""},
      {"learner",
       "engine",
       &learner.engine,
       "who computes gradients: native is an MLP on a CPU without libtorch",
       0,
       0,
       {"auto", "native", "torch"}},
      {"learner", "wire_dtype", &learner.wire_dtype, "of published weights", 0, 0, {"f32", "bf16"}},
      {"learner", "credits_total", &learner.credits_total,
       "messages of experience under way; 0: one iteration's and a quarter more", 0, 1e6},
      {"learner", "average_steps", &learner.average_steps,
       "timesteps over which the weights are averaged that are evaluated; 0: the last ones are", 0,
       1e12},
      {"learner", "checkpoint_seconds", &learner.checkpoint_seconds, "between checkpoints", 0.1,
       1e9},
      {"learner", "checkpoints_keep", &learner.checkpoints_keep,
       "numbered copies kept beside the newest", 0, 1e6},
  };
}

}  // namespace midlane
