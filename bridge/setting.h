// SettingSpec: what a world setting may be, and the one place where settings are checked.
//
// Thread-safety: values and pure functions.
// Errors: InvalidArgument whose sentence names the setting and lists what is known.
#ifndef MIDLANE_BRIDGE_SETTING_H_
#define MIDLANE_BRIDGE_SETTING_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace midlane {

// World settings by name; every environment documents its own. All are optional.
using Settings = std::map<std::string, std::string>;

enum class SettingKind { kText, kInteger, kNumber, kFlag };

struct SettingSpec {
  std::string name;
  SettingKind kind = SettingKind::kText;
  std::string default_value;
  std::string description;
  std::vector<std::string> choices = {};  // kText: the allowed values; empty: any line of text
  std::optional<double> minimum = std::nullopt,
                        maximum = std::nullopt;  // kInteger, kNumber; inclusive
};

// A name fit for a settings line: letters, digits, '_', '-' and '.', at most 47 bytes.
absl::Status CheckSettingName(absl::string_view name);

// OK where `value` suits `spec`.
absl::Status CheckSettingValue(const SettingSpec& spec, absl::string_view value);

// Every setting of `specs` with its value in `given` or else its default.
absl::StatusOr<Settings> ResolveSettings(const std::vector<SettingSpec>& specs,
                                         const Settings& given);

// A number as settings are written: whole ones without a point or an exponent.
std::string NumberText(double value);

// An integer setting out of a resolved map. REQUIRES: checked, kInteger, not negative.
uint64_t IntegerSetting(const Settings& settings, const std::string& name);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_SETTING_H_
