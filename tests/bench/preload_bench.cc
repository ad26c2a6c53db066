// What the shim costs a program that it does not drive: LD_PRELOAD without a channel.
//
// shim_pcall    nanoseconds that a lua_pcall of an empty C function takes more than without the
// shim shim_startup  milliseconds that a whole run of a program that calls nothing takes more The
// program is pcall_loop.c; runs with and without the shim alternate.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/bench/bench.h"

namespace midlane::bench {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) {
    std::fprintf(stderr, "preload_bench: %s is not set; start this by tests/bench/run\n", name);
    std::exit(1);
  }
  return value;
}

// What the program printed; `seconds`: how long it ran.
double RunLoop(bool with_shim, long calls, double* seconds) {
  static const std::string program = Variable("MIDLANE_BUILD_DIR") + "/tests/bench/pcall_loop";
  static const std::string shim = Variable("MIDLANE_PRELOAD");
  int ends[2];
  if (pipe(ends) != 0) std::exit(1);
  const double start = Now();
  const pid_t child = fork();
  if (child == 0) {
    Pin(0);
    dup2(ends[1], STDOUT_FILENO);
    if (with_shim) setenv("LD_PRELOAD", shim.c_str(), 1);
    execl(program.c_str(), program.c_str(), std::to_string(calls).c_str(), nullptr);
    _exit(127);
  }
  close(ends[1]);
  char text[64] = {};
  const bool printed = read(ends[0], text, sizeof(text) - 1) > 0;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  *seconds = Now() - start;
  if (!printed || status != 0) {
    std::fprintf(stderr, "preload_bench: %s failed\n", program.c_str());
    std::exit(1);
  }
  return std::atof(text);
}

int Main() {
  Row call{.name = "shim_pcall", .unit = "ns more a lua_pcall", .bound = 10};
  Row startup{.name = "shim_startup", .unit = "ms more a run", .bound = 5};
  call.kind = startup.kind = Bound::kAtMost;
  for (int i = Repeats(15); i > 0; --i) {
    double with = 0, without = 0;
    const double bare = RunLoop(false, 5000000, &without);
    call.measured.push_back(RunLoop(true, 5000000, &with) - bare);
    RunLoop(false, 0, &without);
    RunLoop(true, 0, &with);
    startup.measured.push_back(1e3 * (with - without));
  }
  Print(call);
  Print(startup);
  return 0;
}

}  // namespace
}  // namespace midlane::bench

int main() { return midlane::bench::Main(); }
