#include "bridge/executable_file.h"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace midlane {
namespace {

constexpr size_t kScanBytes = size_t{1} << 20;
constexpr size_t kScanBytesMax = size_t{512} << 20;
constexpr size_t kOverlap = 32;  // longer than any of the marks
constexpr int kProgramHeadersMax = 1024;

#if defined(__x86_64__)
constexpr int kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr int kMachine = EM_AARCH64;
#else
constexpr int kMachine = EM_NONE;
#endif

template <typename Header, typename Program>
bool HasLoader(std::ifstream* in) {
  Header header{};
  in->clear();
  in->seekg(0);
  if (!in->read(reinterpret_cast<char*>(&header), sizeof(header))) return false;
  for (int i = 0; i < std::min<int>(header.e_phnum, kProgramHeadersMax); ++i) {
    Program program{};
    in->seekg(static_cast<std::streamoff>(header.e_phoff + uint64_t{header.e_phentsize} * i));
    if (!in->read(reinterpret_cast<char*>(&program), sizeof(program))) return false;
    if (program.p_type == PT_INTERP) return true;
  }
  return false;
}

// "Lua 5.3" out of the marks that every build of Lua carries.
std::string LuaIn(absl::string_view text) {
  for (absl::string_view mark : {"LuaJIT 2.", "$LuaVersion: Lua 5.", "$Lua: Lua 5."}) {
    const size_t at = text.find(mark);
    if (at == absl::string_view::npos || at + mark.size() >= text.size()) continue;
    const char minor = text[at + mark.size()];
    if (!std::isdigit(static_cast<unsigned char>(minor))) continue;
    return absl::StrCat(mark[3] == 'J' ? "LuaJIT 2." : "Lua 5.", std::string(1, minor));
  }
  return "";
}

std::string ScanForLua(std::ifstream* in) {
  in->clear();
  in->seekg(0);
  std::string buffer;
  for (size_t scanned = 0; scanned < kScanBytesMax; scanned += kScanBytes) {
    const size_t kept = std::min(buffer.size(), kOverlap);
    buffer.erase(0, buffer.size() - kept);
    buffer.resize(kept + kScanBytes);
    in->read(buffer.data() + kept, kScanBytes);
    buffer.resize(kept + static_cast<size_t>(in->gcount()));
    if (std::string lua = LuaIn(buffer); !lua.empty()) return lua;
    if (in->eof()) break;
  }
  return "";
}

}  // namespace

absl::StatusOr<ExecutableFile> InspectExecutable(const std::string& path) {
  ExecutableFile file;
  std::error_code error;
  file.path = std::filesystem::canonical(path, error).string();
  std::ifstream in(file.path, std::ios::binary);
  struct stat status;
  if (error || !in || stat(file.path.c_str(), &status) != 0) {
    return absl::NotFoundError(absl::StrCat("there is no readable program ", path));
  }
  file.changes_user = ((status.st_mode & S_ISUID) && status.st_uid != geteuid()) ||
                      ((status.st_mode & S_ISGID) && status.st_gid != getegid());
  unsigned char ident[EI_NIDENT + 4] = {};
  in.read(reinterpret_cast<char*>(ident), sizeof(ident));
  file.is_elf = in.gcount() == sizeof(ident) && std::memcmp(ident, ELFMAG, SELFMAG) == 0;
  if (!file.is_elf) return file;
  uint16_t machine;
  std::memcpy(&machine, ident + offsetof(Elf64_Ehdr, e_machine), sizeof(machine));
  file.is_64_bit = ident[EI_CLASS] == ELFCLASS64;
  file.is_native = file.is_64_bit && machine == kMachine;
  file.is_dynamic = file.is_64_bit ? HasLoader<Elf64_Ehdr, Elf64_Phdr>(&in)
                                   : HasLoader<Elf32_Ehdr, Elf32_Phdr>(&in);
  file.lua = ScanForLua(&in);
  return file;
}

}  // namespace midlane
