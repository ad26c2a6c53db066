#include "bridge/rpc/registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"

namespace midlane::rpc {
namespace {

constexpr int kNamesInError = 8;
constexpr absl::Duration kReapPoll = absl::Milliseconds(200);

}  // namespace

WorldRegistry::WorldRegistry(RegistryOptions options, WorldEnvFactory factory)
    : options_(std::move(options)), factory_(std::move(factory)), poller_(EnvPoller::Create()) {
  reaper_ = std::thread(&WorldRegistry::Reap, this);
}

WorldRegistry::~WorldRegistry() {
  Drain();
  {
    absl::MutexLock lock(&mu_);
    stop_ = true;
    wake_.Signal();
  }
  reaper_.join();
}

void WorldRegistry::Create(uint64_t client, const Settings& settings, EnvPoller* poller,
                           wire::EnvironmentResponse* response, Completion* completion) {
  absl::Status refused = poller_.status();
  Settings world_settings = settings;
  uint64_t seed = 0;
  const auto given = world_settings.find(kWorldSeed);
  const bool seeded = given != world_settings.end();
  if (seeded) {
    if (!absl::SimpleAtoi(given->second, &seed)) {
      refused = absl::InvalidArgumentError(absl::StrCat(
          "setting '", kWorldSeed, "' is '", given->second, "': give an unsigned integer"));
    }
    world_settings.erase(given);
  }
  if (refused.ok()) {
    absl::MutexLock lock(&mu_);
    if (draining_) {
      refused = absl::UnavailableError("the server is shutting down: connect to another");
    } else if (static_cast<int>(worlds_.size()) + ending_ >= options_.worlds_max) {
      refused = absl::ResourceExhaustedError(
          absl::StrCat("the server has its ", options_.worlds_max,
                       " worlds: destroy one, or serve with a larger --worlds"));
    } else {
      const std::string name = absl::StrCat(options_.environment, "-", ++created_);
      Entry& entry = worlds_[name];
      entry.creator = client;
      WorldOptions options;
      options.name = name;
      options.seed = seeded ? seed : options_.seed + created_ - 1;
      options.weights = options_.weights;
      options.barrier_timeout = options_.barrier_timeout;
      options.env_timeout = options_.env_timeout;
      // Its thread waits for mu_ at the earliest.
      entry.world = std::make_shared<World>(
          options, factory_, poller != nullptr ? poller : poller_->get(), std::move(world_settings),
          [this, name, response, completion](const absl::Status& status) {
            OnStarted(name, status, response, completion);
          });
    }
  }
  if (refused.ok()) return;
  SetError(refused, response);
  completion->Done();
}

EnvPoller* WorldRegistry::PollerOf(int core) {
  if (options_.info.at_once || std::find(cores_.begin(), cores_.end(), core) == cores_.end()) {
    return nullptr;
  }
  absl::MutexLock lock(&pollers_mu_);
  std::unique_ptr<EnvPoller>& poller = poller_of_core_[core];
  if (poller == nullptr) {
    absl::StatusOr<std::unique_ptr<EnvPoller>> made = EnvPoller::Create(core);
    if (!made.ok()) return nullptr;
    poller = *std::move(made);
  }
  return poller.get();
}

void WorldRegistry::OnStarted(const std::string& name, const absl::Status& status,
                              wire::EnvironmentResponse* response, Completion* completion) {
  absl::Status result = status;
  {
    absl::MutexLock lock(&mu_);
    const auto found = worlds_.find(name);
    if (found == worlds_.end()) {
      if (result.ok()) result = absl::UnavailableError("the world was ended while it started");
    } else if (!status.ok()) {
      buried_.push_back(std::move(found->second.world));
      worlds_.erase(found);
      wake_.Signal();
    }
  }
  if (result.ok()) {
    response->mutable_create_world()->set_world_name(name);
  } else {
    SetError(result, response);
  }
  completion->Done();
}

absl::StatusOr<std::shared_ptr<World>> WorldRegistry::Find(const std::string& name) {
  absl::MutexLock lock(&mu_);
  const auto found = worlds_.find(name);
  if (found != worlds_.end()) return found->second.world;
  if (worlds_.empty()) {
    return absl::NotFoundError(
        absl::StrCat("there is no world '", name, "', nor any other: send CreateWorld first"));
  }
  std::string names;
  int listed = 0;
  for (const auto& [known, entry] : worlds_) {
    if (listed == kNamesInError) {
      absl::StrAppend(&names, ", ...");
      break;
    }
    absl::StrAppend(&names, listed++ ? ", " : "", known);
  }
  return absl::NotFoundError(
      absl::StrCat("there is no world '", name, "': the worlds are ", names));
}

void WorldRegistry::Destroy(const std::string& name, const std::string& who,
                            wire::EnvironmentResponse* response, Completion* completion) {
  const absl::StatusOr<std::shared_ptr<World>> found = Find(name);
  std::shared_ptr<World> world;
  if (found.ok()) {
    absl::MutexLock lock(&mu_);
    if (worlds_.contains(name)) world = Take(name);
  }
  if (world == nullptr) {
    SetError(found.ok() ? absl::NotFoundError(
                              absl::StrCat("world '", name, "' is being destroyed already"))
                        : found.status(),
             response);
    return completion->Done();
  }
  response->mutable_destroy_world();
  End(std::move(world),
      absl::FailedPreconditionError(absl::StrCat("world '", name, "' was destroyed by ", who,
                                                 ": create or join another world")),
      [completion] { completion->Done(); });
}

std::shared_ptr<World> WorldRegistry::Take(const std::string& name) {
  const auto found = worlds_.find(name);
  std::shared_ptr<World> world = std::move(found->second.world);
  worlds_.erase(found);
  ++ending_;
  return world;
}

void WorldRegistry::End(std::shared_ptr<World> world, const absl::Status& why,
                        std::function<void()> gone) {
  world->BeginDestroy(why, [this, gone = std::move(gone)] {
    {
      absl::MutexLock lock(&mu_);
      --ending_;
    }
    gone();
  });
  absl::MutexLock lock(&mu_);
  buried_.push_back(std::move(world));
  wake_.Signal();
}

void WorldRegistry::NoteUse(Entry* entry) {
  entry->unused_since = entry->creator_here || entry->agents > 0
                            ? absl::InfiniteFuture()
                            : std::min(entry->unused_since, absl::Now());
}

void WorldRegistry::CountAgent(const std::string& name, int change) {
  absl::MutexLock lock(&mu_);
  const auto found = worlds_.find(name);
  if (found == worlds_.end()) return;
  found->second.agents += change;
  NoteUse(&found->second);
}

void WorldRegistry::ClientGone(uint64_t client) {
  absl::MutexLock lock(&mu_);
  for (auto& [name, entry] : worlds_) {
    if (entry.creator != client) continue;
    entry.creator_here = false;
    NoteUse(&entry);
  }
}

void WorldRegistry::Drain() {
  std::vector<std::shared_ptr<World>> worlds;
  {
    absl::MutexLock lock(&mu_);
    draining_ = true;
    while (!worlds_.empty()) worlds.push_back(Take(worlds_.begin()->first));
  }
  for (std::shared_ptr<World>& world : worlds) {
    End(std::move(world), absl::UnavailableError("the server is shutting down: connect to another"),
        [] {});
  }
}

void WorldRegistry::Describe(midlane::bridge::v1::DescribeEnvironmentResponse* response) const {
  const EnvironmentInfo& info = options_.info;
  response->set_environment(options_.environment);
  for (const SettingSpec& setting : info.settings) {
    auto* described = response->add_settings();
    described->set_name(setting.name);
    described->set_description(setting.description);
    described->set_default_value(setting.default_value);
    for (const std::string& choice : setting.choices) described->add_choices(choice);
  }
  for (const std::string& bot : info.bots) response->add_bots(bot);
  response->set_default_strength(info.default_strength);
}

int WorldRegistry::worlds() {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(worlds_.size()) + ending_;
}

// Joins the threads of worlds that ended, and ends those that nobody uses.
void WorldRegistry::Reap() {
  for (;;) {
    std::vector<std::shared_ptr<World>> ended, unused;
    bool stop = false;
    {
      absl::MutexLock lock(&mu_);
      if (buried_.empty() && !stop_) wake_.WaitWithTimeout(&mu_, kReapPoll);
      const absl::Time now = absl::Now();
      std::vector<std::string> names;
      for (const auto& [name, entry] : worlds_) {
        if (now - entry.unused_since >= options_.grace) names.push_back(name);
      }
      for (const std::string& name : names) unused.push_back(Take(name));
      ended.swap(buried_);
      stop = stop_;
    }
    for (std::shared_ptr<World>& world : unused) {
      const absl::Status why = absl::NotFoundError(absl::StrCat(
          "world '", world->name(), "' ended: its creator and all agents were gone for ",
          absl::FormatDuration(options_.grace)));
      End(std::move(world), why, [] {});
    }
    for (std::shared_ptr<World>& world : ended) {
      absl::Notification gone;
      world->BeginDestroy(absl::UnavailableError("the world ended"), [&gone] { gone.Notify(); });
      gone.WaitForNotification();
      world.reset();
    }
    if (stop && ended.empty()) return;
  }
}

}  // namespace midlane::rpc
