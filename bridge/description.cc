#include "bridge/description.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "bridge/channel.h"
#include "bridge/description_reader.h"
#include "bridge/description_settings.h"

namespace midlane {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kStartTimeoutSecondsMax = 3600;
constexpr uint64_t kClockStartNs = 1000000000;  // a game that begins at 0 may divide by it
constexpr uint64_t kClockStartsMs = 1000000;    // how many starts a seed chooses from

// What the shim can hold; see preload/description.h.
constexpr size_t kSkipsMax = 96;
constexpr size_t kCallNameBytes = 63;
constexpr size_t kSkipFunctionsMax = 32;
constexpr size_t kFunctionNameBytes = 255;
constexpr size_t kSequencesMax = 16;
constexpr size_t kSequenceBytes = 1023;

// The clock calls beside libc's that the shim answers.
constexpr const char* kClockHooks[] = {
    "SDL_Delay",      "SDL_GetPerformanceCounter", "SDL_GetPerformanceFrequency", "SDL_GetTicks",
    "SDL_GetTicks64", "SDL_WaitEventTimeout",
};

bool InsideFolder(const std::string& path) {
  const fs::path given(path);
  if (path.empty() || given.is_absolute()) return false;
  return std::none_of(given.begin(), given.end(),
                      [](const fs::path& part) { return part == ".."; });
}

void ReadGame(DescriptionReader* reader, const toml::table& root, GameDescription* out) {
  const toml::table* game = reader->Table(root, "game", /*required=*/true);
  if (game == nullptr) return;
  reader->OnlyKeys(
      *game, "[game]",
      {"name", "executable", "command", "package", "adapter", "fallback", "start_timeout_seconds"});
  out->name = reader->String(*game, "name", true);
  if (reader->ok() && !CheckSettingName(out->name).ok()) {
    reader->Fail(game->get("name"), absl::StrCat("'name' cannot be '", out->name,
                                                 "': use letters, digits, '_', '-' and '.'"));
  }
  out->executable = reader->String(*game, "executable", true);
  if (reader->ok() && (out->executable.empty() || out->executable.size() > 255 ||
                       out->executable.find('/') != std::string::npos)) {
    reader->Fail(game->get("executable"),
                 "'executable' must be a file name without '/': the process to attach to");
  }
  out->command = reader->Strings(*game, "command");
  if (reader->ok() && (out->command.empty() || out->command[0].empty())) {
    reader->Fail(game, "'command' is missing: add command = [\"/path/of/the/game\"] here");
  }
  out->package = reader->String(*game, "package", false);
  const std::string adapter = reader->String(*game, "adapter", true);
  if (reader->ok()) {
    reader->ReadFile(game->get("adapter"), adapter);
    out->adapter = (fs::path(reader->folder()) / adapter).lexically_normal().string();
  }
  const std::string fallback = reader->String(*game, "fallback", false);
  if (!fallback.empty() && fallback != "exit" && fallback != "play") {
    reader->Fail(game->get("fallback"),
                 absl::StrCat("'fallback' cannot be '", fallback, "': give \"exit\" or \"play\""));
  }
  out->fallback_play = fallback == "play";
  out->start_timeout = absl::Seconds(
      reader->Integer(*game, "start_timeout_seconds", 20, 1, kStartTimeoutSecondsMax));
}

void ReadFiles(DescriptionReader* reader, const toml::table& root, GameDescription* out) {
  const toml::node* node = root.get("file");
  if (node == nullptr) return;
  if (!node->is_array()) {
    reader->Fail(node, "'file' must be a list of tables: write [[file]]");
    return;
  }
  for (const toml::node& item : *node->as_array()) {
    const toml::table* table = item.as_table();
    if (table == nullptr) {
      reader->Fail(&item, "'file' must be a list of tables: write [[file]]");
      return;
    }
    reader->OnlyKeys(*table, "[[file]]", {"path", "template"});
    GameDescription::File file;
    file.path = reader->String(*table, "path", true);
    file.template_name = reader->String(*table, "template", true);
    if (!reader->ok()) return;
    if (!InsideFolder(file.path)) {
      reader->Fail(table->get("path"),
                   absl::StrCat("'path' cannot be '", file.path,
                                "': give a path inside the private folder, without '..'"));
      return;
    }
    file.template_text = reader->ReadFile(table->get("template"), file.template_name);
    out->files.push_back(std::move(file));
  }
}

void CheckCalls(DescriptionReader* reader, const toml::table& table, const char* key,
                const std::vector<std::string>& names, size_t count_max, size_t bytes_max) {
  if (names.size() > count_max) {
    reader->Fail(table.get(key), absl::StrCat("'", key, "' lists ", names.size(),
                                              " calls: the shim holds ", count_max));
  }
  for (const std::string& name : names) {
    if (!name.empty() && name.size() <= bytes_max) continue;
    reader->Fail(table.get(key),
                 absl::StrCat("'", name, "' in '", key, "' is no name of a call: give 1 to ",
                              bytes_max, " bytes"));
  }
}

void ReadClock(DescriptionReader* reader, const toml::table& root, GameDescription* out) {
  const toml::table* clock = reader->Table(root, "clock", /*required=*/false);
  if (clock == nullptr) return;
  reader->OnlyKeys(*clock, "[clock]", {"mode", "hooks", "step_us", "free_speed", "limit_hours"});
  const std::string mode = reader->String(*clock, "mode", false);
  if (!mode.empty() && mode != "virtual" && mode != "real") {
    reader->Fail(clock->get("mode"),
                 absl::StrCat("'mode' cannot be '", mode, "': give \"virtual\" or \"real\""));
  }
  out->virtual_clock = mode != "real";
  out->clock_step_us = static_cast<uint64_t>(reader->Integer(*clock, "step_us", 0, 0, 1000000));
  out->clock_free_speed = static_cast<double>(reader->Integer(*clock, "free_speed", 0, 0, 1000000));
  out->clock_limit = absl::Hours(reader->Integer(*clock, "limit_hours", 500, 0, 1000000));
  out->clock_hooks = reader->Strings(*clock, "hooks");
  for (const std::string& hook : out->clock_hooks) {
    if (std::find(std::begin(kClockHooks), std::end(kClockHooks), hook) != std::end(kClockHooks)) {
      continue;
    }
    reader->Fail(clock->get("hooks"),
                 absl::StrCat("the shim does not know the clock call '", hook, "': known are ",
                              absl::StrJoin(kClockHooks, ", "), " and libc's"));
  }
}

void ReadRender(DescriptionReader* reader, const toml::table& root, GameDescription* out) {
  const toml::table* render = reader->Table(root, "render", /*required=*/false);
  if (render == nullptr) return;
  reader->OnlyKeys(*render, "[render]",
                   {"skip", "skip_functions", "drop_functions", "frame_call", "environment"});
  out->render_skip = reader->Strings(*render, "skip");
  CheckCalls(reader, *render, "skip", out->render_skip, kSkipsMax, kCallNameBytes);
  out->render_skip_functions = reader->Strings(*render, "skip_functions");
  CheckCalls(reader, *render, "skip_functions", out->render_skip_functions, kSkipFunctionsMax,
             kFunctionNameBytes);
  out->render_drop_functions = reader->Strings(*render, "drop_functions");
  CheckCalls(reader, *render, "drop_functions", out->render_drop_functions,
             kSkipFunctionsMax - std::min(out->render_skip_functions.size(), kSkipFunctionsMax),
             kFunctionNameBytes);
  out->frame_call = reader->String(*render, "frame_call", false);
  if (out->frame_call.size() > kCallNameBytes) {
    reader->Fail(render->get("frame_call"), "'frame_call' is too long for a call's name");
  }
  if (const toml::table* drawn = reader->Table(*render, "environment", /*required=*/false)) {
    out->render_environment = reader->Variables(*drawn, "[render.environment]");
  }
}

void ReadInput(DescriptionReader* reader, const toml::table& root, GameDescription* out) {
  const toml::table* input = reader->Table(root, "input", /*required=*/false);
  if (input == nullptr) return;
  out->input_library = reader->String(*input, "library", false);
  if (!out->input_library.empty() && out->input_library != "SDL2") {
    reader->Fail(input->get("library"), absl::StrCat("'library' cannot be '", out->input_library,
                                                     "': the shim gives keys through \"SDL2\""));
  }
  out->gap_polls = static_cast<uint32_t>(reader->Integer(*input, "gap_polls", 2, 0, 100000));
  for (const auto& [key, node] : *input) {
    const std::string name(key.str());
    if (name == "library" || name == "gap_polls") continue;
    if (!node.is_array()) {
      reader->Fail(&node, absl::StrCat("unknown key '", name,
                                       "' in [input]: known are library, gap_polls and sequences "
                                       "of keys, NAME = [\"Down\", ...]"));
      return;
    }
    GameDescription::Keys sequence{name, reader->Strings(*input, name.c_str())};
    for (const std::string& pressed : sequence.keys) {
      if (!pressed.empty() && pressed.find(',') == std::string::npos) continue;
      reader->Fail(&node, absl::StrCat("'", pressed, "' in '", name,
                                       "' is no name of a key: use SDL's, such as \"Return\""));
    }
    if (!CheckSettingName(name).ok() || absl::StrJoin(sequence.keys, ",").size() > kSequenceBytes) {
      reader->Fail(&node, absl::StrCat("the sequence '", name, "' is too long"));
    }
    out->sequences.push_back(std::move(sequence));
  }
  if (out->sequences.size() > kSequencesMax) {
    reader->Fail(input, absl::StrCat("[input] has ", out->sequences.size(),
                                     " sequences: the shim holds ", kSequencesMax));
  }
}

void ReadOpponents(DescriptionReader* reader, const toml::table& root, GameDescription* out) {
  const toml::table* opponents = reader->Table(root, "opponents", /*required=*/false);
  if (opponents == nullptr) return;
  reader->OnlyKeys(*opponents, "[opponents]", {"bots", "default_strength"});
  out->bots = reader->Strings(*opponents, "bots");
  if (opponents->get("default_strength") != nullptr) {
    out->default_strength = reader->String(*opponents, "default_strength", true);
  }
}

// Every template must expand: better now than in the middle of a night.
void CheckTemplates(DescriptionReader* reader, const toml::table& root,
                    const GameDescription& description) {
  Substitutions values;
  for (const SettingSpec& setting : description.settings) {
    values[setting.name] = setting.default_value;
  }
  values["WORK"] = values["FOLDER"] = "/";
  values["PORT"] = "1";
  const auto check = [&](const toml::node* node, const std::string& text,
                         const std::string& where) {
    absl::StatusOr<std::string> expanded = Expand(text, values, where);
    if (!expanded.ok()) reader->Fail(node, expanded.status().message());
  };
  for (const std::string& word : description.command) {
    check(root["game"]["command"].node(), word, "'command'");
  }
  for (const auto& [name, value] : description.environment) {
    check(root["environment"][name].node(), value, absl::StrCat("'", name, "'"));
  }
  for (const auto& [name, value] : description.render_environment) {
    check(root["render"]["environment"][name].node(), value, absl::StrCat("'", name, "'"));
  }
  for (size_t i = 0; i < description.files.size(); ++i) {
    check(root["file"][i].node(), description.files[i].template_text,
          description.files[i].template_name);
  }
}

uint64_t Mix(uint64_t value) {  // splitmix64
  value += 0x9E3779B97F4A7C15ULL;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31);
}

}  // namespace

absl::StatusOr<GameDescription> ParseDescription(absl::string_view text, const std::string& file,
                                                 const std::string& folder) {
  const absl::StatusOr<toml::table> parsed =
      ParseToml(std::string_view(text.data(), text.size()), file);
  if (!parsed.ok()) return parsed.status();
  const toml::table& root = *parsed;
  std::error_code error;
  DescriptionReader reader(file, fs::absolute(folder, error).lexically_normal().string());
  GameDescription out;
  out.folder = reader.folder();
  reader.OnlyKeys(
      root, "the description",
      {"game", "environment", "file", "clock", "render", "input", "settings", "opponents"});
  ReadGame(&reader, root, &out);
  if (const toml::table* table = reader.Table(root, "environment", /*required=*/false)) {
    out.environment = reader.Variables(*table, "[environment]");
  }
  ReadFiles(&reader, root, &out);
  ReadClock(&reader, root, &out);
  ReadRender(&reader, root, &out);
  ReadInput(&reader, root, &out);
  out.settings = ReadSettings(&reader, root);
  ReadOpponents(&reader, root, &out);
  if (reader.ok()) CheckTemplates(&reader, root, out);
  if (reader.ok() && ShimText(out, {}).size() > MIDLANE_TEXT_BYTES_MAX) {
    reader.Fail(&root, absl::StrCat("the description holds more than ", MIDLANE_TEXT_BYTES_MAX,
                                    " bytes for the shim: shorten it"));
  }
  if (!reader.ok()) return reader.status();
  return out;
}

absl::StatusOr<GameDescription> ReadDescription(const std::string& folder) {
  const std::string file = (fs::path(folder) / "game.toml").string();
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    return absl::NotFoundError(
        absl::StrCat("there is no readable description ", file, ": see envs/README.md"));
  }
  std::stringstream text;
  text << in.rdbuf();
  return ParseDescription(text.str(), file, folder);
}

absl::StatusOr<GameDescription> DescribeCommand(const CommandGame& game) {
  GameDescription out;
  std::error_code error;
  if (game.command.empty()) {
    return absl::InvalidArgumentError("no command: name the game's program");
  }
  const fs::path adapter = fs::absolute(game.adapter, error);
  if (!fs::is_regular_file(adapter, error)) {
    return absl::NotFoundError(absl::StrCat("there is no adapter ", game.adapter,
                                            ": docs/adapter_api.md says what it is"));
  }
  out.folder = adapter.parent_path().string();
  out.adapter = adapter.string();
  out.executable =
      game.executable.empty() ? fs::path(game.command[0]).filename().string() : game.executable;
  out.name = out.executable;
  for (char& c : out.name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.') c = '-';
  }
  for (const std::string& word : game.command) {
    out.command.push_back(absl::StrReplaceAll(word, {{"${", "$${"}}));
  }
  // The game runs in a folder of its own.
  if (absl::StrContains(out.command[0], "/")) {
    out.command[0] = fs::absolute(out.command[0], error).string();
  }
  out.virtual_clock = game.virtual_clock;
  Settings settings = game.settings;
  settings.emplace("frame_skip", "1");  // an adapter sees by its settings that it has a host
  for (const auto& [name, value] : settings) {
    SettingSpec setting{name, SettingKind::kText, value, ""};
    if (absl::Status status = CheckSettingName(name); !status.ok()) return status;
    if (absl::Status status = CheckSettingValue(setting, value); !status.ok()) return status;
    out.settings.push_back(std::move(setting));
  }
  AddBuiltInSettings(&out.settings);
  return out;
}

absl::StatusOr<std::string> Expand(absl::string_view text, const Substitutions& values,
                                   absl::string_view where) {
  std::string out;
  out.reserve(text.size());
  size_t line = 1;
  for (size_t at = 0; at < text.size();) {
    if (absl::StartsWith(text.substr(at), "$${")) {
      out += "${";
      at += 3;
      continue;
    }
    if (!absl::StartsWith(text.substr(at), "${")) {
      line += text[at] == '\n';
      out += text[at++];
      continue;
    }
    const size_t end = text.find('}', at);
    const std::string name(text.substr(at + 2, end == absl::string_view::npos ? 40 : end - at - 2));
    const auto value = values.find(name);
    if (end == absl::string_view::npos || value == values.end()) {
      std::vector<std::string> known;
      for (const auto& [key, unused] : values) known.push_back(key);
      return absl::InvalidArgumentError(
          absl::StrCat(where, " line ", line, " asks for '${", name,
                       end == absl::string_view::npos ? "' without an end" : "}'", ": known are ",
                       absl::StrJoin(known, ", ")));
    }
    out += value->second;
    at = end + 1;
  }
  return out;
}

std::string ShimText(const GameDescription& description, const ShimOptions& options) {
  std::string text;
  const auto line = [&text](absl::string_view key, const auto& value) {
    absl::StrAppend(&text, key, "=", value, "\n");
  };
  line("executable", description.executable);
  line("adapter", description.adapter);
  line("fallback", description.fallback_play ? "play" : "exit");
  if (options.vanilla) line("vanilla", 1);
  line("clock", description.virtual_clock ? "virtual" : "real");
  // Games seed their random numbers from the clock, so each seed begins at another time.
  line("clock_start_ns", kClockStartNs + Mix(options.seed) % kClockStartsMs * 1000000);
  line("clock_step_us", description.clock_step_us);
  line("clock_speed", NumberText(options.speed > 0 ? options.speed : description.clock_free_speed));
  line("seed", options.seed);
  for (const std::string& call : description.render_skip) line("skip", call);
  for (const std::string& name : description.render_skip_functions) line("skip_function", name);
  for (const std::string& name : description.render_drop_functions) line("drop_function", name);
  if (!description.frame_call.empty()) line("frame_call", description.frame_call);
  line("render_every", options.render_every);
  line("input", description.input_library);
  for (const GameDescription::Keys& sequence : description.sequences) {
    line(absl::StrCat("keys.", sequence.name), absl::StrJoin(sequence.keys, ","));
  }
  line("gap_polls", description.gap_polls);
  if (options.announce) line("announce", 1);
  return text;
}

std::string SettingsText(const Settings& settings) {
  std::string text;
  for (const auto& [name, value] : settings) {
    if (!value.empty()) absl::StrAppend(&text, name, "=", value, "\n");
  }
  return text;
}

}  // namespace midlane
