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
  std::mutex mutex;  // of the maps
  std::map<std::string, EnvFactory> schemes;
  std::map<std::string, EnvDescriber> describers;  // of the same schemes
  struct Named {
    EnvFactory factory;
    std::vector<SettingSpec> settings;
  };
  std::map<std::string, Named> names;
};

Registry& registry() {
  static auto* const registry = new Registry;
  return *registry;
}

// Empty where `map` has no such key.
template <typename Value>
Value Find(const std::map<std::string, Value>& map, const std::string& key) {
  std::lock_guard<std::mutex> lock(registry().mutex);
  const auto found = map.find(key);
  return found == map.end() ? Value() : found->second;
}

// Of "SCHEME://..."; empty where there is none.
std::string SchemeOf(const std::string& name) {
  const size_t end = name.find("://");
  return end == std::string::npos ? "" : name.substr(0, end);
}

// "grpc+unix://, grpc://", or empty.
std::string KnownSchemes() {
  std::lock_guard<std::mutex> lock(registry().mutex);
  std::string known;
  for (const auto& [scheme, factory] : registry().schemes) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", scheme, "://");
  }
  return known;
}

absl::Status NoSuchScheme(const std::string& name) {
  if (SchemeOf(name) == "unix") {
    return absl::NotFoundError(
        absl::StrCat("'", name, "' is an address, not an environment: write grpc+", name));
  }
  const std::string known = KnownSchemes();
  return absl::NotFoundError(absl::StrCat("'", name, "' is no server that this program can reach: ",
                                          known.empty()
                                              ? "it was built without any (cmake -DMIDLANE_RPC=ON)"
                                              : absl::StrCat("it begins with ", known)));
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
  return absl::NotFoundError(
      absl::StrCat("there is no environment '", name, "' in ", EnvsDir(), ": known are ",
                   absl::StrJoin(KnownEnvironments(), ", "),
                   ", grpc://HOST:PORT, grpc+tls://HOST:PORT and grpc+unix:///PATH"));
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
  info.settings = settings;
  return info;
}

}  // namespace

bool IsServerName(const std::string& name) { return !SchemeOf(name).empty(); }

void RegisterEnvScheme(const std::string& scheme, EnvFactory factory, EnvDescriber describer) {
  Registry& all = registry();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.schemes[scheme] = std::move(factory);
  all.describers[scheme] = std::move(describer);
}

void RegisterEnvironment(const std::string& name, EnvFactory factory,
                         std::vector<SettingSpec> settings) {
  Registry& all = registry();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.names[name] = {std::move(factory), std::move(settings)};
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
  if (const std::string scheme = SchemeOf(name); !scheme.empty()) {
    const EnvDescriber describer = Find(registry().describers, scheme);
    return describer ? describer(name) : NoSuchScheme(name);
  }
  if (name == "null") return Info(name, NullEnvSettings(), /*at_once=*/true);
  if (name == "probe") return Info(name, ProbeEnvSettings(), /*at_once=*/true);
  if (const Registry::Named named = Find(registry().names, name); named.factory) {
    return Info(name, named.settings, /*at_once=*/false);
  }
  absl::StatusOr<GameDescription> description = FindGame(name);
  if (!description.ok()) return description.status();
  EnvironmentInfo info = Info(name, description->settings, /*at_once=*/false);
  info.bots = description->bots;
  info.default_strength = description->default_strength;
  return info;
}

absl::StatusOr<std::unique_ptr<Env>> MakeEnv(const EnvOptions& options) {
  if (const std::string scheme = SchemeOf(options.name); !scheme.empty()) {
    const EnvFactory factory = Find(registry().schemes, scheme);
    return factory ? factory(options) : NoSuchScheme(options.name);
  }
  if (const EnvFactory factory = Find(registry().names, options.name).factory) {
    return factory(options);
  }
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
