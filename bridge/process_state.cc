#include "bridge/process_state.h"

#include <cctype>
#include <fstream>
#include <optional>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace midlane {
namespace {

constexpr absl::Duration kWatched = absl::Milliseconds(60);  // six ticks of its processor time

struct Sample {
  char state = 0;
  uint64_t ticks = 0;  // of processor time, all threads
};

std::optional<Sample> Look(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string text;
  if (!std::getline(file, text)) return std::nullopt;
  // The name before it may hold anything.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  Sample sample;
  fields >> sample.state;
  std::string skipped;
  for (int field = 4; field < 14; ++field) fields >> skipped;
  uint64_t user = 0, system = 0;
  if (!(fields >> user >> system)) return std::nullopt;
  sample.ticks = user + system;
  return sample;
}

// The kernel's function in which the main thread sleeps; empty where the kernel does not say.
std::string SleepsIn(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/wchan"));
  std::string name;
  file >> name;
  return !name.empty() && std::isalpha(static_cast<unsigned char>(name[0]))
             ? absl::StrCat(" (", name, ")")
             : "";
}

}  // namespace

std::string ProcessStateText(pid_t pid) {
  const std::optional<Sample> before = Look(pid);
  if (!before || before->state == 'Z') return "";
  if (before->state == 'T' || before->state == 't') return "it is stopped (SIGSTOP, or a debugger)";
  absl::SleepFor(kWatched);
  const std::optional<Sample> after = Look(pid);
  if (!after || after->state == 'Z') return "";
  if (after->ticks > before->ticks || after->state == 'R') return "it is busy";
  return absl::StrCat("it sleeps", SleepsIn(pid));
}

}  // namespace midlane
