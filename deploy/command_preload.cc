#include "deploy/command_preload.h"

#include <CLI/CLI.hpp>
#include <memory>

namespace midlane {

void AddPreloadCommand(CLI::App* app, CommandContext* context) {
  auto command_line = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app->add_subcommand(
      "preload",
      "Run any game under the shim and say what it found: Lua's dialect, states, calls.");
  command->footer("Example:\n  midlane preload -- /usr/games/blobby");
  command->add_option("game", *command_line, "the game and its arguments, after --")->required();
  command->callback([command_line, context] {
    context->exit_code =
        Report(absl::UnimplementedError("preload arrives with bridge/preload_run.h"));
  });
}

}  // namespace midlane
