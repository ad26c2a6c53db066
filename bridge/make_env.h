// Where environments are found, and how others than bridge's own are added to MakeEnv.
//
// Thread-safety: any thread.
#ifndef MIDLANE_BRIDGE_MAKE_ENV_H_
#define MIDLANE_BRIDGE_MAKE_ENV_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bridge/env.h"
#include "bridge/setting.h"

namespace midlane {

using EnvFactory = std::function<absl::StatusOr<std::unique_ptr<Env>>(const EnvOptions&)>;
using EnvDescriber = std::function<absl::StatusOr<EnvironmentInfo>(const std::string& name)>;

// Whether `name` is "SCHEME://...": an environment behind a server.
bool IsServerName(const std::string& name);

// From now on MakeEnv answers names "SCHEME://..." by `factory`, and DescribeEnvironment by
// `describer` (bridge/rpc adds "grpc"). A second registration of a scheme replaces the first.
void RegisterEnvScheme(const std::string& scheme, EnvFactory factory, EnvDescriber describer);

// From now on MakeEnv answers `name` by `factory`, and DescribeEnvironment with `settings`:
// environments in C++, and games that are served without a folder.
void RegisterEnvironment(const std::string& name, EnvFactory factory,
                         std::vector<SettingSpec> settings = {});

// The folder of game descriptions: $MIDLANE_ENVS_DIR, else envs/ beside the build folder that
// holds this executable, else the one compiled in.
std::string EnvsDir();

// libmidlane_preload.so: $MIDLANE_PRELOAD, else ../lib beside this executable's folder, else the
// path compiled in. Need not exist.
std::string PreloadPath();

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_MAKE_ENV_H_
