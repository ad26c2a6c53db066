#include "deploy/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "bridge/make_env.h"
#include "bridge/setting.h"
#include "bridge/toml_document.h"
#include "deploy/config_fields.h"
#include "deploy/files.h"
#include "deploy/nearest.h"
#include "learner/files.h"

namespace midlane {
namespace {

// Worlds of a worker behind a server, in one batch: a message costs more than what is in it
// (docs/decisions/0007-lanes.md).
constexpr uint32_t kFarGames = 16;

// ---- Reading ----------------------------------------------------------------------------------

// Where a value stands, for errors.
struct Place {
  absl::string_view source;
  std::string path;  // "ppo.epochs"

  absl::Status Error(const toml::node& node, absl::string_view what) const {
    // A value of the command line has no lines.
    const bool has_line = node.source().begin && !absl::StartsWith(source, "--");
    const std::string line = has_line ? absl::StrCat(":", node.source().begin.line) : std::string();
    return absl::InvalidArgumentError(absl::StrCat(source, line, ": ", path, " ", what));
  }
};

std::string Shown(double value) {
  std::ostringstream out;
  out.precision(12);
  out << value;
  return out.str();
}

absl::Status CheckRange(const Place& place, const toml::node& node, const ConfigField& field,
                        double value) {
  if (value >= field.minimum && value <= field.maximum) return absl::OkStatus();
  if (std::isinf(field.maximum)) {
    return place.Error(
        node, absl::StrCat("must be at least ", Shown(field.minimum), ", not ", Shown(value)));
  }
  return place.Error(node, absl::StrCat("must lie between ", Shown(field.minimum), " and ",
                                        Shown(field.maximum), ", not ", Shown(value)));
}

absl::Status ReadNumber(const Place& place, const toml::node& node, const ConfigField& field,
                        double* out) {
  std::optional<double> value;
  if (node.is_integer() || node.is_floating_point()) value = node.value<double>();
  if (!value || std::isnan(*value)) return place.Error(node, "must be a number");
  if (auto status = CheckRange(place, node, field, *value); !status.ok()) return status;
  *out = *value;
  return absl::OkStatus();
}

absl::Status ReadCount(const Place& place, const toml::node& node, const ConfigField& field,
                       uint64_t* out) {
  const auto value = node.value_exact<int64_t>();
  if (!value) return place.Error(node, "must be a whole number");
  if (*value < 0) return place.Error(node, absl::StrCat("must not be negative: ", *value));
  if (auto status = CheckRange(place, node, field, double(*value)); !status.ok()) return status;
  *out = uint64_t(*value);
  return absl::OkStatus();
}

absl::Status ReadSchedule(const Place& place, const toml::node& node, const ConfigField& field,
                          Schedule* out) {
  const toml::table* table = node.as_table();
  if (!table) {
    Schedule constant;
    if (!node.is_number()) {
      return place.Error(node, "must be a number or { from = A, to = B, steps = N }");
    }
    if (auto status = ReadNumber(place, node, field, &constant.from); !status.ok()) return status;
    constant.to = constant.from;
    *out = constant;
    return absl::OkStatus();
  }
  Schedule schedule;
  int found = 0;
  for (const auto& [key, value] : *table) {
    const Place inner{place.source, absl::StrCat(place.path, ".", std::string(key.str()))};
    absl::Status status;
    if (key == "from") {
      status = ReadNumber(inner, value, field, &schedule.from);
    } else if (key == "to") {
      status = ReadNumber(inner, value, field, &schedule.to);
    } else if (key == "steps") {
      ConfigField count = field;
      count.minimum = 1;
      count.maximum = 1e18;
      status = ReadCount(inner, value, count, &schedule.steps);
    } else {
      return inner.Error(value, "is unknown: a schedule has from, to and steps");
    }
    if (!status.ok()) return status;
    ++found;
  }
  if (found != 3) return place.Error(node, "must name all of from, to and steps");
  *out = schedule;
  return absl::OkStatus();
}

absl::Status ReadScripted(const Place& place, const toml::node& node,
                          std::vector<ScriptedOpponent>* out) {
  constexpr char kWhat[] = "must be a list of bots, each \"NAME\" or \"NAME:STRENGTH\"";
  const toml::array* array = node.as_array();
  if (!array) return place.Error(node, kWhat);
  std::vector<ScriptedOpponent> opponents;
  for (const toml::node& element : *array) {
    const auto text = element.value_exact<std::string>();
    if (!text) return place.Error(element, kWhat);
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(*text, absl::MaxSplits(':', 1));
    if (parts.first.empty()) return place.Error(element, "names a bot without a name");
    opponents.push_back({parts.first, parts.second});
  }
  *out = std::move(opponents);
  return absl::OkStatus();
}

absl::Status ReadSettings(const Place& place, const toml::node& node, Settings* out) {
  Settings settings = *out;
  for (const auto& [key, value] : *node.as_table()) {
    const Place inner{place.source, absl::StrCat(place.path, ".", std::string(key.str()))};
    std::string text;
    if (const auto string = value.value_exact<std::string>()) {
      text = *string;
    } else if (const auto whole = value.value_exact<int64_t>()) {
      text = absl::StrCat(*whole);
    } else if (const auto number = value.value_exact<double>()) {
      text = Shown(*number);
    } else if (const auto flag = value.value_exact<bool>()) {
      text = *flag ? "true" : "false";
    } else {
      return inner.Error(value, "must be a string, a number or true/false");
    }
    settings[std::string(key.str())] = text;
  }
  *out = std::move(settings);
  return absl::OkStatus();
}

// Reads `node` into the field's value, by its type.
struct Reader {
  const Place& place;
  const toml::node& node;
  const ConfigField& field;

  absl::Status operator()(bool* out) const {
    const auto value = node.value_exact<bool>();
    if (!value) return place.Error(node, "must be true or false");
    *out = *value;
    return absl::OkStatus();
  }
  absl::Status operator()(uint64_t* out) const { return ReadCount(place, node, field, out); }
  absl::Status operator()(uint32_t* out) const {
    ConfigField limited = field;
    limited.maximum = std::min(field.maximum, double(std::numeric_limits<uint32_t>::max()));
    uint64_t value = 0;
    if (auto status = ReadCount(place, node, limited, &value); !status.ok()) return status;
    *out = uint32_t(value);
    return absl::OkStatus();
  }
  absl::Status operator()(double* out) const { return ReadNumber(place, node, field, out); }
  absl::Status operator()(absl::Duration* out) const {
    double seconds = 0;
    if (auto status = ReadNumber(place, node, field, &seconds); !status.ok()) return status;
    *out = absl::Seconds(seconds);
    return absl::OkStatus();
  }
  absl::Status operator()(std::string* out) const {
    const auto value = node.value_exact<std::string>();
    if (!value) return place.Error(node, "must be a string in quotes");
    const auto& choices = field.choices;
    if (!choices.empty() && std::find(choices.begin(), choices.end(), *value) == choices.end()) {
      return place.Error(node, absl::StrCat("must be one of ", absl::StrJoin(choices, ", "),
                                            ", not \"", *value, "\""));
    }
    *out = *value;
    return absl::OkStatus();
  }
  absl::Status operator()(Activation* out) const {
    const auto value = node.value_exact<std::string>();
    if (value == "tanh") {
      *out = Activation::kTanh;
    } else if (value == "relu") {
      *out = Activation::kRelu;
    } else {
      return place.Error(node, "must be \"tanh\" or \"relu\"");
    }
    return absl::OkStatus();
  }
  absl::Status operator()(Schedule* out) const { return ReadSchedule(place, node, field, out); }
  absl::Status operator()(std::vector<uint32_t>* out) const {
    const toml::array* array = node.as_array();
    if (!array) return place.Error(node, "must be a list of whole numbers, like [64, 64]");
    std::vector<uint32_t> values;
    for (const toml::node& element : *array) {
      uint64_t value = 0;
      if (auto status = ReadCount(place, element, field, &value); !status.ok()) return status;
      values.push_back(uint32_t(value));
    }
    *out = std::move(values);
    return absl::OkStatus();
  }
  absl::Status operator()(std::vector<ScriptedOpponent>* out) const {
    return ReadScripted(place, node, out);
  }
  absl::Status operator()(std::map<std::string, Schedule>* out) const {
    std::map<std::string, Schedule> rewards = *out;
    for (const auto& [key, value] : *node.as_table()) {
      const Place inner{place.source, absl::StrCat(place.path, ".", std::string(key.str()))};
      const auto status = ReadSchedule(inner, value, field, &rewards[std::string(key.str())]);
      if (!status.ok()) return status;
    }
    *out = std::move(rewards);
    return absl::OkStatus();
  }
  absl::Status operator()(Settings* out) const { return ReadSettings(place, node, out); }
};

absl::Status UnknownKey(const Place& place, const toml::node& node,
                        const std::vector<std::string>& known) {
  return place.Error(
      node, absl::StrCat("is no key of the configuration",
                         NearestHint(place.path, known, "midlane train null --print-config")));
}

absl::Status ReadTable(const toml::table& root, absl::string_view source, Config* config) {
  Config result = *config;
  const std::vector<ConfigField> fields = ConfigFields(&result);
  std::vector<std::string> known, sections;
  for (const ConfigSection& section : ConfigSections()) sections.push_back(section.name);
  for (const ConfigField& field : fields) {
    if (*field.key) known.push_back(absl::StrCat(field.section, ".", field.key));
  }
  for (const auto& [section_key, section_node] : root) {
    const std::string section(section_key.str());
    const toml::table* table = section_node.as_table();
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) {
      if (table) {
        return Place{source, absl::StrCat("[", section, "]")}.Error(
            section_node,
            absl::StrCat("is no section of the configuration", NearestHint(section, sections)));
      }
      return UnknownKey({source, section}, section_node, known);
    }
    if (!table) return Place{source, section}.Error(section_node, "must be a section");
    const auto whole = std::find_if(fields.begin(), fields.end(), [&](const ConfigField& field) {
      return field.section == section && !*field.key;
    });
    if (whole != fields.end()) {
      const Place place{source, section};
      if (auto status = std::visit(Reader{place, section_node, *whole}, whole->value);
          !status.ok()) {
        return status;
      }
      continue;
    }
    for (const auto& [key, node] : *table) {
      const Place place{source, absl::StrCat(section, ".", std::string(key.str()))};
      const auto field = std::find_if(fields.begin(), fields.end(), [&](const ConfigField& field) {
        return field.section == section && key == field.key;
      });
      if (field == fields.end()) return UnknownKey(place, node, known);
      if (auto status = std::visit(Reader{place, node, *field}, field->value); !status.ok()) {
        return status;
      }
    }
  }
  *config = std::move(result);
  return absl::OkStatus();
}

// ---- Printing ---------------------------------------------------------------------------------

std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04X", static_cast<unsigned char>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string KeyText(absl::string_view key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  return bare ? std::string(key) : Quoted(key);
}

// The shortest text that reads back as the same double, always with a point or an exponent.
std::string Number(double value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  std::string out(text, end);
  if (out.find_first_of(".en") == std::string::npos) out += ".0";
  return out;
}

std::string ScheduleText(const Schedule& schedule) {
  if (schedule.steps == 0) return Number(schedule.from);
  return absl::StrCat("{ from = ", Number(schedule.from), ", to = ", Number(schedule.to),
                      ", steps = ", schedule.steps, " }");
}

// The value as TOML; for a map, its lines.
struct Printer {
  std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
  std::string operator()(const uint32_t* value) const { return absl::StrCat(*value); }
  std::string operator()(const uint64_t* value) const { return absl::StrCat(*value); }
  std::string operator()(const double* value) const { return Number(*value); }
  std::string operator()(const std::string* value) const { return Quoted(*value); }
  std::string operator()(const absl::Duration* value) const {
    return Number(absl::ToDoubleSeconds(*value));
  }
  std::string operator()(const Activation* value) const {
    return *value == Activation::kTanh ? "\"tanh\"" : "\"relu\"";
  }
  std::string operator()(const Schedule* value) const { return ScheduleText(*value); }
  std::string operator()(const std::vector<uint32_t>* value) const {
    return absl::StrCat("[", absl::StrJoin(*value, ", "), "]");
  }
  std::string operator()(const std::vector<ScriptedOpponent>* value) const {
    return absl::StrCat(
        "[",
        absl::StrJoin(*value, ", ",
                      [](std::string* out, const ScriptedOpponent& opponent) {
                        absl::StrAppend(
                            out, Quoted(opponent.strength.empty()
                                            ? opponent.bot
                                            : absl::StrCat(opponent.bot, ":", opponent.strength)));
                      }),
        "]");
  }
  std::string operator()(const std::map<std::string, Schedule>* value) const {
    std::string out;
    for (const auto& [key, schedule] : *value) {
      absl::StrAppend(&out, KeyText(key), " = ", ScheduleText(schedule), "\n");
    }
    return out;
  }
  std::string operator()(const Settings* value) const {
    std::string out;
    for (const auto& [key, text] : *value) {
      absl::StrAppend(&out, KeyText(key), " = ", Quoted(text), "\n");
    }
    return out;
  }
};

}  // namespace

absl::Status ParseConfig(absl::string_view text, absl::string_view source, Config* config) {
  if (text.size() > kConfigBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": a configuration of ", text.size(),
                                                   " bytes; at most ", kConfigBytesMax,
                                                   " are read"));
  }
  const auto parsed = ParseToml({text.data(), text.size()}, std::string(source));
  if (!parsed.ok()) return parsed.status();
  return ReadTable(*parsed, source, config);
}

absl::Status ReadConfigFile(const std::string& path, Config* config) {
  auto text = ReadFile(path);
  if (!text.ok()) return text.status();
  return ParseConfig(*text, path, config);
}

absl::Status SetConfigValue(absl::string_view assignment, Config* config) {
  const std::string source = absl::StrCat("--set ", assignment);
  const size_t equals = assignment.find('=');
  const absl::string_view path = assignment.substr(0, equals);
  const size_t dot = path.find('.');
  if (equals == absl::string_view::npos || dot == absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(source, ": write SECTION.KEY=VALUE, like ppo.epochs=2"));
  }
  const std::string key =
      absl::StrCat(KeyText(absl::StripAsciiWhitespace(path.substr(0, dot))), ".",
                   KeyText(absl::StripAsciiWhitespace(path.substr(dot + 1))));
  const absl::string_view value = absl::StripAsciiWhitespace(assignment.substr(equals + 1));
  auto parsed = ParseToml(absl::StrCat(key, " = ", value), source);
  if (!parsed.ok()) parsed = ParseToml(absl::StrCat(key, " = ", Quoted(value)), source);
  if (!parsed.ok()) return parsed.status();
  return ReadTable(*parsed, source, config);
}

absl::Status ValidateConfig(const Config& config) {
  if (config.run.environment.empty()) {
    return absl::InvalidArgumentError(
        "run.environment is empty: name an environment, like blobby or null");
  }
  const LearnerOptions& learner = config.learner;
  if (auto status = ValidateNetworkConfig(learner.network); !status.ok()) return status;
  const PpoOptions& ppo = learner.ppo;
  if (ppo.minibatch_steps > ppo.batch_steps) {
    return absl::InvalidArgumentError(absl::StrCat("ppo.minibatch_steps (", ppo.minibatch_steps,
                                                   ") is more than ppo.batch_steps (",
                                                   ppo.batch_steps, "): lower it"));
  }
  if (learner.league.scripted_share > 0 && learner.league.scripted.empty()) {
    return absl::InvalidArgumentError(
        "league.scripted_share is above 0 and league.scripted names no bot: name one or set the "
        "share to 0");
  }
  return absl::OkStatus();
}

absl::Status CheckStrength(const EnvironmentInfo& environment, const std::string& strength) {
  if (strength.empty()) return absl::OkStatus();
  for (const SettingSpec& setting : environment.settings) {
    if (!absl::EndsWith(setting.name, "_strength")) continue;
    SettingSpec named = setting;
    named.name = "strength";
    return CheckSettingValue(named, strength);
  }
  return absl::OkStatus();
}

absl::Status CheckScriptedBots(const Config& config) {
  const std::string& environment = config.run.environment;
  const auto info = DescribeEnvironment(environment);
  if (!info.ok()) return info.status();
  for (const ScriptedOpponent& opponent : config.learner.league.scripted) {
    if (std::find(info->bots.begin(), info->bots.end(), opponent.bot) != info->bots.end()) {
      const absl::Status status = CheckStrength(*info, opponent.strength);
      if (status.ok()) continue;
      return absl::InvalidArgumentError(absl::StrCat("league.scripted: '", opponent.bot, ":",
                                                     opponent.strength, "': ", status.message()));
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "league.scripted names '", opponent.bot, "', environment '", environment, "' ",
        info->bots.empty()
            ? std::string("has no scripted bots: leave league.scripted empty")
            : absl::StrCat("has no such bot: name one of ", absl::StrJoin(info->bots, ", "))));
  }
  return absl::OkStatus();
}

std::string FormatConfig(const Config& config) {
  Config copy = config;
  const std::vector<ConfigField> fields = ConfigFields(&copy);
  std::string out =
      "# Configuration of a Midlane run, every key with its value.\n"
      "# Change single values with --set SECTION.KEY=VALUE, many with --config FILE.\n";
  for (const ConfigSection& section : ConfigSections()) {
    absl::StrAppend(&out, "\n# ", absl::StrJoin(absl::StrSplit(section.comment, '\n'), "\n# "),
                    "\n[", section.name, "]\n");
    for (const ConfigField& field : fields) {
      if (absl::string_view(field.section) != section.name) continue;
      const std::string value = std::visit(Printer{}, field.value);
      if (!*field.key) {
        absl::StrAppend(&out, value);
        continue;
      }
      std::string line = absl::StrCat(field.key, " = ", value);
      line.resize(std::max<size_t>(line.size() + 2, 36), ' ');
      absl::StrAppend(&out, line, "# ", field.comment);
      if (!field.choices.empty()) {
        absl::StrAppend(&out, ": ", absl::StrJoin(field.choices, " or "));
      }
      absl::StrAppend(&out, "\n");
    }
  }
  return out;
}

std::vector<std::string> ConfigChanges(Config before, Config now) {
  const std::vector<ConfigField> old_fields = ConfigFields(&before), fields = ConfigFields(&now);
  std::vector<std::string> changes;
  for (size_t i = 0; i < fields.size(); ++i) {
    const std::string was = std::visit(Printer{}, old_fields[i].value);
    const std::string is = std::visit(Printer{}, fields[i].value);
    if (was == is) continue;
    if (*fields[i].key) {
      changes.push_back(
          absl::StrCat(fields[i].section, ".", fields[i].key, " = ", is, ", was ", was));
      continue;
    }
    const std::vector<std::string> known = absl::StrSplit(was, '\n');
    for (const absl::string_view line : absl::StrSplit(is, '\n', absl::SkipEmpty())) {
      if (std::find(known.begin(), known.end(), line) != known.end()) continue;
      changes.push_back(absl::StrCat(fields[i].section, ".", line));
    }
  }
  return changes;
}

absl::StatusOr<Config> EnvironmentConfig(const std::string& environment) {
  Config config;
  std::string game = environment;
  const bool far = IsServerName(environment);
  if (far) {
    const auto info = DescribeEnvironment(environment);
    if (!info.ok()) return info.status();
    game = info->name;
  }
  const std::string path = absl::StrCat(EnvsDir(), "/", game, "/train.toml");
  if (!absl::StrContains(game, "/") && FileExists(path)) {
    if (auto status = ReadConfigFile(path, &config); !status.ok()) return status;
  }
  if (far) {
    config.worker.games = kFarGames;
    config.worker.groups = 1;
  }
  config.run.environment = environment;
  return config;
}

LearnerOptions MakeLearnerOptions(const Config& config, const std::string& run_dir) {
  LearnerOptions options = config.learner;
  options.run_dir = run_dir;
  options.threads = std::max(1u, config.run.learner_threads);
  options.chunk_steps = config.worker.chunk_steps;
  options.seed = config.run.seed;
  options.config_text = FormatConfig(config);
  return options;
}

WorkerOptions MakeWorkerOptions(const Config& config, uint32_t index) {
  WorkerOptions options = config.worker;
  options.env.name = config.run.environment;
  options.groups = std::min(options.groups, std::max(1u, options.games));  // one game is one group
  // Worlds count up from the worker's seed: no two worlds of a run share one.
  options.env.seed = config.run.seed * 1000003 + uint64_t{index} * kGamesMax;
  options.seed = options.env.seed;
  options.network = config.learner.network;
  options.window = config.learner.ppo.window;
  return options;
}

}  // namespace midlane
