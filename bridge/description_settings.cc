#include "bridge/description_settings.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace midlane {
namespace {

// A default, bound or choice as text, with the kind of setting that it suggests.
std::string ScalarText(DescriptionReader* reader, const toml::node& node, const char* key,
                       SettingKind* kind) {
  if (const auto text = node.value_exact<std::string>()) {
    *kind = SettingKind::kText;
    return reader->StringOf(&node, key);
  }
  if (const auto whole = node.value_exact<int64_t>()) {
    *kind = SettingKind::kInteger;
    return absl::StrCat(*whole);
  }
  if (const auto number = node.value_exact<double>()) {
    *kind = SettingKind::kNumber;
    return NumberText(*number);
  }
  if (const auto flag = node.value_exact<bool>()) {
    *kind = SettingKind::kFlag;
    return *flag ? "true" : "false";
  }
  reader->Fail(&node, absl::StrCat("'", key, "' must be a string, a number, true or false"));
  return "";
}

std::optional<double> ReadBound(DescriptionReader* reader, const toml::table& table,
                                const char* key, bool* whole) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return std::nullopt;
  if (!node->is_integer()) *whole = false;
  if (const auto value = node->value<double>(); value && node->is_number()) return *value;
  reader->Fail(node, absl::StrCat("'", key, "' must be a number"));
  return std::nullopt;
}

void ReadSetting(DescriptionReader* reader, const std::string& name, const toml::node& node,
                 std::vector<SettingSpec>* out) {
  const toml::table* table = node.as_table();
  if (table == nullptr) {
    reader->Fail(&node, absl::StrCat("setting '", name, "' must be a table: write ", name,
                                     " = { default = ..., description = \"...\" }"));
    return;
  }
  reader->OnlyKeys(*table, absl::StrCat("setting '", name, "'"),
                   {"default", "description", "choices", "minimum", "maximum"});
  SettingSpec setting;
  setting.name = name;
  if (absl::Status status = CheckSettingName(name); !status.ok()) {
    reader->Fail(&node, status.message());
  }
  setting.description = reader->String(*table, "description", true);
  const toml::node* fallback = table->get("default");
  if (fallback == nullptr) {
    reader->Fail(table, absl::StrCat("setting '", name, "' has no default: add default = ..."));
    return;
  }
  setting.default_value = ScalarText(reader, *fallback, "default", &setting.kind);

  bool whole = true;
  setting.minimum = ReadBound(reader, *table, "minimum", &whole);
  setting.maximum = ReadBound(reader, *table, "maximum", &whole);
  if (setting.minimum || setting.maximum) {
    if (setting.kind == SettingKind::kFlag) reader->Fail(table, "true and false have no bounds");
    if (setting.minimum && setting.maximum && *setting.minimum > *setting.maximum) {
      reader->Fail(table->get("minimum"), "'minimum' is larger than 'maximum'");
    }
    if (setting.kind == SettingKind::kText) {
      setting.kind = whole ? SettingKind::kInteger : SettingKind::kNumber;
    } else if (!whole) {
      setting.kind = SettingKind::kNumber;
    }
  }
  if (const toml::node* choices = table->get("choices")) {
    if (setting.minimum || setting.maximum) {
      reader->Fail(choices, absl::StrCat("setting '", name,
                                         "' has choices and bounds: keep one of the two"));
    }
    if (!choices->is_array() || choices->as_array()->empty()) {
      reader->Fail(choices, "'choices' must be a list of at least one value");
      return;
    }
    SettingKind ignored;
    for (const toml::node& choice : *choices->as_array()) {
      setting.choices.push_back(ScalarText(reader, choice, "choices", &ignored));
    }
    setting.kind = SettingKind::kText;
  }
  if (!reader->ok()) return;
  if (absl::Status status = CheckSettingValue(setting, setting.default_value); !status.ok()) {
    reader->Fail(fallback, absl::StrCat("the default does not suit: ", status.message()));
  }
  out->push_back(std::move(setting));
}

void AddBuiltIn(SettingSpec setting, std::vector<SettingSpec>* out) {
  const bool described = std::any_of(out->begin(), out->end(),
                                     [&](const SettingSpec& s) { return s.name == setting.name; });
  if (!described) out->push_back(std::move(setting));
}

}  // namespace

void AddBuiltInSettings(std::vector<SettingSpec>* out) {
  AddBuiltIn({"frame_skip",
              SettingKind::kInteger,
              "",
              "frames a timestep; empty: the adapter's",
              {},
              1,
              1000000},
             out);
  AddBuiltIn(
      {"seed", SettingKind::kInteger, "", "of the next match; empty: drawn by the world", {}, 0},
      out);
  std::sort(out->begin(), out->end(),
            [](const SettingSpec& a, const SettingSpec& b) { return a.name < b.name; });
}

std::vector<SettingSpec> ReadSettings(DescriptionReader* reader, const toml::table& root) {
  std::vector<SettingSpec> settings;
  if (const toml::table* table = reader->Table(root, "settings", /*required=*/false)) {
    for (const auto& [key, node] : *table) {
      ReadSetting(reader, std::string(key.str()), node, &settings);
    }
  }
  AddBuiltInSettings(&settings);
  return settings;
}

}  // namespace midlane
