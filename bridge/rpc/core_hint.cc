#include "bridge/rpc/core_hint.h"

#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace midlane::rpc {
namespace {

std::string KernelPrefix() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot;
  return file >> boot ? absl::StrCat(boot, "/") : "";
}

}  // namespace

std::string CoreHint(int core) {
  const std::string prefix = KernelPrefix();
  return prefix.empty() ? "" : absl::StrCat(prefix, core);
}

std::optional<int> ReadCoreHint(absl::string_view hint) {
  const std::string prefix = KernelPrefix();
  int core = 0;
  if (prefix.empty() || !absl::ConsumePrefix(&hint, prefix) || !absl::SimpleAtoi(hint, &core)) {
    return std::nullopt;
  }
  return core;
}

}  // namespace midlane::rpc
