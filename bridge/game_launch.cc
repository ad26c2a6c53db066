#include "bridge/game_launch.h"

#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "bridge/channel.h"

namespace midlane {
namespace {

Substitutions MakeSubstitutions(const GameDescription& description, const Settings& settings,
                                const WorkFolder& work) {
  Substitutions values(settings.begin(), settings.end());
  values["WORK"] = work.path();
  values["FOLDER"] = description.folder;
  values["PORT"] = absl::StrCat(work.port());
  return values;
}

}  // namespace

absl::Status GameFiles::Write(const GameDescription& description, const Settings& settings,
                              WorkFolder* work) {
  const Substitutions values = MakeSubstitutions(description, settings, *work);
  written_.resize(description.files.size());
  for (size_t i = 0; i < description.files.size(); ++i) {
    const GameDescription::File& file = description.files[i];
    absl::StatusOr<std::string> text = Expand(file.template_text, values, file.template_name);
    if (!text.ok()) return text.status();
    if (written_[i] == *text) continue;
    if (absl::Status status = work->Write(file.path, *text); !status.ok()) return status;
    written_[i] = *std::move(text);
  }
  return absl::OkStatus();
}

absl::StatusOr<LaunchOptions> PlanLaunch(const GameDescription& description,
                                         const Settings& settings, bool draws,
                                         const std::string& preload, const WorkFolder& work,
                                         int channel_fd, int doorbell_fd) {
  const Substitutions values = MakeSubstitutions(description, settings, work);
  LaunchOptions launch;
  for (const std::string& word : description.command) {
    absl::StatusOr<std::string> expanded = Expand(word, values, "'command'");
    if (!expanded.ok()) return expanded.status();
    launch.command.push_back(*std::move(expanded));
  }
  if (absl::StatusOr<std::string> found = FindExecutable(launch.command[0]); !found.ok()) {
    return absl::NotFoundError(absl::StrCat(
        description.name, ": ", found.status().message(), ": ",
        description.package.empty() ? absl::StrCat("install the game or correct 'command' in ",
                                                   description.folder, "/game.toml")
                                    : absl::StrCat("install the package ", description.package,
                                                   " (apt install ", description.package, ")")));
  }
  // An empty value takes a variable away.
  std::vector<std::pair<std::string, std::string>> variables = {{"HOME", work.path()}};
  std::map<std::string, std::string> described = description.environment;
  if (draws) {
    for (const auto& [name, value] : description.render_environment) described[name] = value;
  }
  for (const auto& [name, value] : described) {
    absl::StatusOr<std::string> expanded = Expand(value, values, name);
    if (!expanded.ok()) return expanded.status();
    variables.emplace_back(name, *std::move(expanded));
  }
  if (!preload.empty()) variables.emplace_back("LD_PRELOAD", preload);
  variables.emplace_back(MIDLANE_ENV_CHANNEL_FD, absl::StrCat(channel_fd));
  variables.emplace_back(MIDLANE_ENV_DOORBELL_FD, absl::StrCat(doorbell_fd));
  launch.environment = GameEnvironment(variables);
  launch.directory = work.path();
  launch.inherited = {channel_fd, doorbell_fd};
  return launch;
}

absl::Status CheckPreload(const std::string& preload) {
  if (preload.empty() || access(preload.c_str(), R_OK) == 0) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat("there is no shim ", preload,
                   ": build the target midlane_preload or set MIDLANE_PRELOAD to its path"));
}

std::string OutputText(const std::string& last_lines) {
  if (last_lines.empty()) return ", and it wrote nothing";
  return absl::StrCat("; its last lines:\n", absl::StripSuffix(last_lines, "\n"));
}

}  // namespace midlane
