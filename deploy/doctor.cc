#include "deploy/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "bridge/cores.h"
#include "bridge/description.h"
#include "bridge/launcher.h"
#include "deploy/files.h"
#include "deploy/progress.h"

namespace midlane {
namespace {

constexpr rlim_t kOpenFilesMin = 4096;  // a game takes about ten descriptors
constexpr uint64_t kSharedMemoryMin = 256u << 20;
constexpr uint64_t kDiskMin = 1ull << 30;
constexpr uint64_t kMemoryMin = 2ull << 30;
constexpr size_t kOutputMax = 64u << 10;

Finding Good(std::string what, std::string found) {
  return {Health::kGood, std::move(what), std::move(found), ""};
}

Finding Judge(bool good, Health otherwise, std::string what, std::string found,
              std::string remedy) {
  if (good) return Good(std::move(what), std::move(found));
  return {otherwise, std::move(what), std::move(found), std::move(remedy)};
}

std::string Gigabytes(uint64_t bytes) { return absl::StrFormat("%.1f GB", double(bytes) / 1e9); }

std::string FirstLine(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// Runs `command` by the shell; its output, and its exit code in `code`.
std::string Output(const std::string& command, int* code) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) {
    *code = 127;
    return output;
  }
  char block[4096];
  size_t got;
  while ((got = fread(block, 1, sizeof block, pipe)) > 0) {
    if (output.size() < kOutputMax) output.append(block, got);
  }
  const int status = pclose(pipe);
  *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return output;
}

std::string ShellQuoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

const char* HealthName(Health health) {
  switch (health) {
    case Health::kGood:
      return "good";
    case Health::kNote:
      return "note";
    case Health::kBad:
      return "BAD";
  }
  return "";
}

std::vector<Finding> CheckKernel() {
  std::vector<Finding> findings;
  utsname name{};
  uname(&name);
  findings.push_back(
      Good("kernel", absl::StrCat(name.sysname, " ", name.release, " ", name.machine)));

  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  findings.push_back(Judge(files.rlim_cur >= kOpenFilesMin,
                           files.rlim_cur >= 256 ? Health::kNote : Health::kBad, "open files",
                           absl::StrCat(WithThousands(files.rlim_cur), " a process"),
                           absl::StrCat("raise it before starting: ulimit -n ", kOpenFilesMin)));

  const int memory_file = int(syscall(SYS_memfd_create, "midlane-doctor", 0u));
  findings.push_back(Judge(memory_file >= 0, Health::kBad, "memfd_create",
                           memory_file >= 0 ? "works" : strerror(errno),
                           "the channel to a game needs it: Linux 3.17 or newer, and a container "
                           "whose seccomp profile allows it"));
  if (memory_file >= 0) close(memory_file);

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
  const int pid_file = int(syscall(SYS_pidfd_open, getpid(), 0u));
  findings.push_back(
      Judge(pid_file >= 0, Health::kBad, "pidfd_open", pid_file >= 0 ? "works" : strerror(errno),
            "games are watched through it: Linux 5.3 or newer, and a container whose "
            "seccomp profile allows it"));
  if (pid_file >= 0) close(pid_file);

  const int present = personality(0xffffffff);
  const bool may = present >= 0 && personality(unsigned(present) | ADDR_NO_RANDOMIZE) >= 0;
  if (may) personality(unsigned(present));
  findings.push_back(Judge(may, Health::kNote, "fixed addresses",
                           may ? "personality(ADDR_NO_RANDOMIZE) works" : strerror(errno),
                           "a match seed does not reproduce a match without it; in a container run "
                           "with --security-opt seccomp=unconfined or allow personality"));

  struct statvfs shared {};
  if (statvfs("/dev/shm", &shared) != 0) {
    findings.push_back({Health::kNote, "/dev/shm", strerror(errno),
                        "workers of one machine share weights through it; each keeps its own "
                        "copy until it is mounted"});
  } else {
    const uint64_t free = uint64_t{shared.f_bavail} * shared.f_frsize;
    findings.push_back(Judge(free >= kSharedMemoryMin, Health::kNote, "/dev/shm",
                             absl::StrCat(Gigabytes(free), " free"),
                             "enlarge it (docker run --shm-size=1g): weights are shared through "
                             "it"));
  }
  return findings;
}

std::vector<Finding> CheckCores() {
  std::vector<Finding> findings;
  const size_t cores = AvailableCores().size();
  findings.push_back(Judge(cores >= 2, Health::kNote, "cores", absl::StrCat(cores),
                           "learner and games take turns on one core; give the process two"));

  const std::string governor = FirstLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  if (!governor.empty()) {
    findings.push_back(
        Judge(governor != "powersave" || FileExists("/sys/devices/system/cpu/intel_pstate"),
              Health::kNote, "frequency governor", governor,
              "cpupower frequency-set -g performance, for speed and steady timings"));
  }

  double load[1] = {0};
  if (getloadavg(load, 1) == 1) {
    findings.push_back(Judge(load[0] < 0.5 * double(cores) + 0.5, Health::kNote, "load",
                             absl::StrFormat("%.1f in the last minute", load[0]),
                             "other programs use the cores: timings will mislead"));
  }

  std::ifstream meminfo("/proc/meminfo");
  std::string line;
  while (std::getline(meminfo, line)) {
    uint64_t kilobytes = 0;
    if (sscanf(line.c_str(), "MemAvailable: %lu kB", &kilobytes) != 1) continue;
    findings.push_back(Judge(kilobytes << 10 >= kMemoryMin, Health::kNote, "memory",
                             absl::StrCat(Gigabytes(kilobytes << 10), " available"),
                             "learner and eight games want about 2 GB; run fewer with --games"));
  }
  return findings;
}

std::vector<Finding> CheckDisk(const std::string& folder) {
  struct statvfs disk {};
  if (statvfs(folder.c_str(), &disk) != 0) {
    return {{Health::kBad, "disk", absl::StrCat(folder, ": ", strerror(errno)),
             "runs are written below the current folder: go to one that exists"}};
  }
  const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
  std::vector<Finding> findings = {Judge(free >= kDiskMin, Health::kNote, "disk",
                                         absl::StrCat(Gigabytes(free), " free for runs/"),
                                         "checkpoints stop with a full disk: free some space")};
  if (access(folder.c_str(), W_OK) != 0) {
    findings.push_back({Health::kBad, "disk", "the current folder is not writable",
                        "runs are written below it: go to a folder of yours"});
  }
  return findings;
}

std::vector<Finding> CheckShim(const std::string& library) {
  if (!FileExists(library)) {
    return {{Health::kBad, "shim", absl::StrCat(library, " is not there"),
             "build it: deploy/setup (or set MIDLANE_PRELOAD)"}};
  }
  int code = 0;
  const std::string output =
      Output(absl::StrCat("LD_PRELOAD=", ShellQuoted(library), " /bin/true 2>&1"), &code);
  if (code != 0 || !output.empty()) {
    return {{Health::kBad, "shim",
             absl::StrCat(library, " does not load: ", output.substr(0, output.find('\n'))),
             "rebuild it on this machine: deploy/setup"}};
  }
  return {Good("shim", absl::StrCat(library, " loads"))};
}

std::vector<Finding> CheckGames(const std::string& envs_dir) {
  std::vector<Finding> findings;
  std::error_code error;
  std::vector<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(envs_dir, error)) {
    if (FileExists(entry.path().string() + "/game.toml")) folders.push_back(entry.path().string());
  }
  if (folders.empty()) {
    return {{Health::kBad, "games", absl::StrCat("no game is described under ", envs_dir),
             "set MIDLANE_ENVS_DIR to the folder envs/ of the project"}};
  }
  std::sort(folders.begin(), folders.end());
  for (const std::string& folder : folders) {
    const auto description = ReadDescription(folder);
    if (!description.ok()) {
      findings.push_back({Health::kBad, "game", std::string(description.status().message()),
                          "mend the description (docs/description.md)"});
      continue;
    }
    const auto path = FindExecutable(description->command[0]);
    findings.push_back(
        Judge(path.ok(), Health::kBad, absl::StrCat("game ", description->name),
              path.ok() ? *path : absl::StrCat(description->command[0], " is not there"),
              absl::StrCat("apt-get install ", description->package)));
  }
  return findings;
}

std::vector<Finding> JudgeTorch(const std::string& info, int cores) {
  std::map<std::string, std::string> values;
  for (const auto line : absl::StrSplit(info, '\n')) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(line, absl::MaxSplits('=', 1));
    if (!parts.first.empty()) values[parts.first] = parts.second;
  }
  std::vector<Finding> findings;
  findings.push_back(Good(
      "libtorch",
      absl::StrCat(values["version"], ", ",
                   values["cuda"] == "0" ? "no CUDA device" : values["cuda"] + " CUDA devices")));
  const std::string& blas = values["blas"];
  findings.push_back(Judge(
      !absl::StrContains(blas, "open"), Health::kNote, "BLAS", blas.empty() ? "unknown" : blas,
      "OpenBLAS with threads of its own beside OpenMP slows training 3-6 times "
      "on few cores: set OPENBLAS_NUM_THREADS=1, or use the PyTorch wheel"));
  int threads = 0;
  if (absl::SimpleAtoi(values["threads"], &threads)) {
    findings.push_back(Judge(threads <= cores, Health::kNote, "OpenMP threads",
                             absl::StrCat(threads, " by default, ", cores, " cores"),
                             "more threads than cores: unset OMP_NUM_THREADS, or set it to the "
                             "number of cores"));
  }
  return findings;
}

std::vector<Finding> CheckTorch(const std::string& midlane_torch) {
  if (!FileExists(midlane_torch)) {
    return {{Health::kBad, "libtorch", absl::StrCat(midlane_torch, " is not built"),
             "learning needs it: deploy/setup"}};
  }
  int code = 0;
  const std::string output = Output(ShellQuoted(midlane_torch) + " torch-info 2>&1", &code);
  if (code != 0) {
    return {{Health::kBad, "libtorch",
             absl::StrCat("midlane-torch does not start: ", output.substr(0, output.find('\n'))),
             "its libtorch moved or went away: run deploy/setup again"}};
  }
  return JudgeTorch(output, int(AvailableCores().size()));
}

}  // namespace midlane
