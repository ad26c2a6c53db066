// The [settings] of a game's description: what each world setting may be.
//
// Thread-safety: pure functions.
// Errors: in the reader.
#ifndef MIDLANE_BRIDGE_DESCRIPTION_SETTINGS_H_
#define MIDLANE_BRIDGE_DESCRIPTION_SETTINGS_H_

#include <vector>

#include "bridge/description_reader.h"
#include "bridge/setting.h"

namespace midlane {

// Adds frame_skip and seed, which every game has, unless they are there; sorts by name.
void AddBuiltInSettings(std::vector<SettingSpec>* settings);

// Those of the table, and the ones that every game has.
std::vector<SettingSpec> ReadSettings(DescriptionReader* reader, const toml::table& root);

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_DESCRIPTION_SETTINGS_H_
