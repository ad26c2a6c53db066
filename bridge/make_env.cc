#include "bridge/make_env.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bridge/description.h"
#include "bridge/game_env.h"
#include "bridge/null_env.h"
#include "bridge/probe_env.h"

namespace midlane {
namespace {

namespace fs = std::filesystem;

struct Registry {
  std::mutex mutex;  // of both maps
  std::map<std::string, EnvFactory> schemes;
  std::map<std::string, EnvFactory> names;
};

Registry& registry() {
  static auto* const registry = new Registry;
  return *registry;
}

EnvFactory Find(bool scheme, const std::string& key) {
  Registry& all = registry();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto& map = scheme ? all.schemes : all.names;
  const auto found = map.find(key);
  return found == map.end() ? EnvFactory() : found->second;
}

// The folder that holds bin/ and lib/ of this build, or empty.
fs::path BuildDir() {
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path() : executable.parent_path().parent_path();
}

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

absl::Status UnknownEnvironment(const std::string& name) {
  return absl::NotFoundError(absl::StrCat("there is no environment '", name, "' in ", EnvsDir(),
                                          ": known are ", absl::StrJoin(KnownEnvironments(), ", "),
                                          " and grpc://HOST:PORT"));
}

absl::StatusOr<GameDescription> FindGame(const std::string& name) {
  const fs::path folder = fs::path(EnvsDir()) / name;
  if (!CheckSettingName(name).ok() || !Exists(folder / "game.toml")) {
    return UnknownEnvironment(name);
  }
  absl::StatusOr<GameDescription> description = ReadDescription(folder.string());
  if (description.ok() && description->name != name) {
    return absl::InvalidArgumentError(absl::StrCat((folder / "game.toml").string(), ": 'name' is '",
                                                   description->name,
                                                   "': name the game as its folder, '", name, "'"));
  }
  return description;
}

EnvironmentInfo Info(const std::string& name, const std::vector<SettingSpec>& settings,
                     bool at_once) {
  EnvironmentInfo info;
  info.name = name;
  info.at_once = at_once;
  for (const SettingSpec& setting : settings) info.settings.push_back(DescribeSetting(setting));
  return info;
}

}  // namespace

void RegisterEnvScheme(const std::string& scheme, EnvFactory factory) {
  Registry& all = registry();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.schemes[scheme] = std::move(factory);
}

void RegisterEnvironment(const std::string& name, EnvFactory factory) {
  Registry& all = registry();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.names[name] = std::move(factory);
}

std::string EnvsDir() {
  if (const char* given = std::getenv("MIDLANE_ENVS_DIR"); given != nullptr && *given != '\0') {
    return given;
  }
  const fs::path beside = BuildDir().parent_path() / "envs";
  return Exists(beside) ? beside.string() : MIDLANE_DEFAULT_ENVS_DIR;
}

std::string PreloadPath() {
  if (const char* given = std::getenv("MIDLANE_PRELOAD"); given != nullptr && *given != '\0') {
    return given;
  }
  const fs::path beside = BuildDir() / "lib" / "libmidlane_preload.so";
  return Exists(beside) ? beside.string() : MIDLANE_DEFAULT_PRELOAD;
}

std::vector<std::string> KnownEnvironments() {
  std::vector<std::string> names = {"null", "probe"};
  {
    Registry& all = registry();
    std::lock_guard<std::mutex> lock(all.mutex);
    for (const auto& [name, factory] : all.names) names.push_back(name);
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(EnvsDir(), error)) {
    if (Exists(entry.path() / "game.toml")) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

absl::StatusOr<EnvironmentInfo> DescribeEnvironment(const std::string& name) {
  if (name == "null") return Info(name, NullEnvSettings(), /*at_once=*/true);
  if (name == "probe") return Info(name, ProbeEnvSettings(), /*at_once=*/true);
  if (Find(/*scheme=*/false, name)) return Info(name, {}, /*at_once=*/false);
  absl::StatusOr<GameDescription> description = FindGame(name);
  if (!description.ok()) return description.status();
  EnvironmentInfo info = Info(name, description->settings, /*at_once=*/false);
  info.bots = description->bots;
  info.default_strength = description->default_strength;
  return info;
}

absl::StatusOr<std::unique_ptr<Env>> MakeEnv(const EnvOptions& options) {
  if (const size_t end = options.name.find("://"); end != std::string::npos) {
    const std::string scheme = options.name.substr(0, end);
    if (const EnvFactory factory = Find(/*scheme=*/true, scheme)) return factory(options);
    return absl::NotFoundError(absl::StrCat("this program cannot reach '", options.name,
                                            "': it was built without '", scheme, "' environments"));
  }
  if (const EnvFactory factory = Find(/*scheme=*/false, options.name)) return factory(options);
  if (options.name == "null") return MakeNullEnv(options);
  if (options.name == "probe") return MakeProbeEnv(options);
  absl::StatusOr<GameDescription> description = FindGame(options.name);
  if (!description.ok()) return description.status();
  return MakeGameEnv(options, *std::move(description), PreloadPath());
}

absl::StatusOr<Spec> SpecOf(const EnvOptions& options) {
  absl::StatusOr<std::unique_ptr<Env>> env = MakeEnv(options);
  if (!env.ok()) return env.status();
  return (*env)->spec();
}

}  // namespace midlane
