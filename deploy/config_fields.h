// The one list of configuration keys: name, comment, limits and where the value lives. The parser,
// the printer and the error for an unknown key all walk it, so they cannot disagree.
#ifndef MIDLANE_DEPLOY_CONFIG_FIELDS_H_
#define MIDLANE_DEPLOY_CONFIG_FIELDS_H_

#include <limits>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "deploy/config.h"

namespace midlane {

using FieldValue =
    std::variant<bool*, uint32_t*, uint64_t*, double*, std::string*, absl::Duration*, Activation*,
                 Schedule*, std::vector<uint32_t>*, std::vector<ScriptedOpponent>*,
                 std::map<std::string, Schedule>*, Settings*>;

struct ConfigField {
  const char* section;
  const char* key;  // empty: the whole section is this map
  FieldValue value;
  const char* comment;
  double minimum = 0;  // of numbers, inclusive
  double maximum = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices = {};  // of strings; empty: any
};

struct ConfigSection {
  const char* name;
  const char* comment;
};

const std::vector<ConfigSection>& ConfigSections();

// The fields of `config`, in the order of printing. Pointers live as long as `config`.
std::vector<ConfigField> ConfigFields(Config* config);

}  // namespace midlane

#endif  // MIDLANE_DEPLOY_CONFIG_FIELDS_H_
