#include "deploy/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace midlane {
namespace {

constexpr off_t kTailBytes = 64 << 10;

}  // namespace

bool FileExists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

std::string FileTail(const std::string& path, int lines) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  const off_t size = lseek(fd, 0, SEEK_END);
  const off_t from = std::max<off_t>(0, size - kTailBytes);
  std::string text(size_t(std::max<off_t>(0, size - from)), '\0');
  const ssize_t got = pread(fd, text.data(), text.size(), from);
  close(fd);
  text.resize(got > 0 ? size_t(got) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::vector<std::string> all = absl::StrSplit(text, '\n');
  if (all.size() > size_t(lines)) all.erase(all.begin(), all.end() - lines);
  return absl::StrJoin(all, "\n");
}

std::string LearnerAddress(const std::string& run_dir) {
  std::ifstream file(run_dir + "/learner.address");
  std::string address;
  std::getline(file, address);
  return address;
}

std::string ExecutableDir() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

}  // namespace midlane
