#include "bridge/setting.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bridge/channel.h"

namespace midlane {
namespace {

constexpr size_t kValueBytesMax = 4096;
constexpr double kWholeBelow = 9e15;  // a double has every whole number below

std::string RangeText(const SettingSpec& spec) {
  if (spec.minimum && spec.maximum) {
    return absl::StrCat(NumberText(*spec.minimum), " to ", NumberText(*spec.maximum));
  }
  if (spec.minimum) return absl::StrCat("at least ", NumberText(*spec.minimum));
  if (spec.maximum) return absl::StrCat("at most ", NumberText(*spec.maximum));
  return "any";
}

bool InRange(const SettingSpec& spec, double value) {
  return (!spec.minimum || value >= *spec.minimum) && (!spec.maximum || value <= *spec.maximum);
}

absl::Status Refuse(const SettingSpec& spec, absl::string_view value, absl::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("setting '", spec.name, "' cannot be '", value, "': give ", wanted));
}

}  // namespace

std::string NumberText(double value) {
  const bool whole = std::abs(value) < kWholeBelow && value == std::trunc(value);
  return whole ? absl::StrCat(static_cast<int64_t>(value)) : absl::StrCat(value);
}

absl::Status CheckSettingName(absl::string_view name) {
  const bool fits = !name.empty() && name.size() < MIDLANE_NAME_BYTES &&
                    std::all_of(name.begin(), name.end(), [](unsigned char c) {
                      return std::isalnum(c) || c == '_' || c == '-' || c == '.';
                    });
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("'", name, "' is no name for a setting: use 1 to ",
                                                 MIDLANE_NAME_BYTES - 1,
                                                 " letters, digits, '_', '-' and '.'"));
}

absl::Status CheckSettingValue(const SettingSpec& spec, absl::string_view value) {
  if (value.size() > kValueBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("setting '", spec.name, "' is ", value.size(),
                                                   " bytes long: give at most ", kValueBytesMax));
  }
  switch (spec.kind) {
    case SettingKind::kText: {
      if (!spec.choices.empty()) {
        if (std::find(spec.choices.begin(), spec.choices.end(), value) != spec.choices.end()) {
          return absl::OkStatus();
        }
        return Refuse(spec, value, absl::StrCat("one of ", absl::StrJoin(spec.choices, ", ")));
      }
      const bool one_line = std::none_of(value.begin(), value.end(),
                                         [](unsigned char c) { return std::iscntrl(c) != 0; });
      return one_line ? absl::OkStatus()
                      : Refuse(spec, "...", "one line of text without control characters");
    }
    case SettingKind::kInteger: {
      int64_t number = 0;
      uint64_t large = 0;
      if (absl::SimpleAtoi(value, &number)) {
        if (InRange(spec, static_cast<double>(number))) return absl::OkStatus();
      } else if (absl::SimpleAtoi(value, &large)) {
        if (InRange(spec, static_cast<double>(large))) return absl::OkStatus();
      }
      return Refuse(spec, value, absl::StrCat("a whole number (", RangeText(spec), ")"));
    }
    case SettingKind::kNumber: {
      double number = 0;
      if (absl::SimpleAtod(value, &number) && std::isfinite(number) && InRange(spec, number)) {
        return absl::OkStatus();
      }
      return Refuse(spec, value, absl::StrCat("a number (", RangeText(spec), ")"));
    }
    case SettingKind::kFlag:
      if (value == "true" || value == "false") return absl::OkStatus();
      return Refuse(spec, value, "true or false");
  }
  return absl::OkStatus();
}

absl::StatusOr<Settings> ResolveSettings(const std::vector<SettingSpec>& specs,
                                         const Settings& given) {
  Settings resolved;
  for (const SettingSpec& spec : specs) resolved[spec.name] = spec.default_value;
  for (const auto& [name, value] : given) {
    const auto spec = std::find_if(specs.begin(), specs.end(),
                                   [&name](const SettingSpec& s) { return s.name == name; });
    if (spec == specs.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no setting '", name, "': known are ",
                       absl::StrJoin(specs, ", ", [](std::string* out, const SettingSpec& s) {
                         absl::StrAppend(out, s.name);
                       })));
    }
    if (value == spec->default_value) continue;
    if (absl::Status status = CheckSettingValue(*spec, value); !status.ok()) return status;
    resolved[name] = value;
  }
  return resolved;
}

uint64_t IntegerSetting(const Settings& settings, const std::string& name) {
  uint64_t value = 0;
  const auto found = settings.find(name);
  if (found != settings.end() && absl::SimpleAtoi(found->second, &value)) return value;
  return 0;
}

}  // namespace midlane
