#include "learner/checkpoint.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "learner/bytes.h"
#include "learner/files.h"
#include "learner/sha256.h"

namespace midlane {
namespace {

constexpr char kMagic[] = "MDLCKPT1";
constexpr size_t kMagicBytes = 8;
constexpr size_t kHeaderBytes = 24;
constexpr size_t kHashBytes = 32;

template <typename T>
T Read(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

absl::Status Malformed(const std::string& file, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      file, ": ", std::string(what),
      "; it was not written by this program, restore it from a copy, or delete it to begin anew"));
}

}  // namespace

std::string EncodeCheckpoint(const Sections& sections) {
  uint64_t total = kHeaderBytes + kHashBytes;
  for (const auto& [name, bytes] : sections) total += 4 + name.size() + 8 + bytes.size();

  std::string out(kMagic, kMagicBytes);
  out.reserve(total);
  ByteWriter header;
  header.Put<uint32_t>(kCheckpointFormat);
  header.Put<uint32_t>(static_cast<uint32_t>(sections.size()));
  header.Put<uint64_t>(total);
  out += header.Take();
  for (const auto& [name, bytes] : sections) {
    ByteWriter entry;
    entry.Put<uint32_t>(static_cast<uint32_t>(name.size()));
    out += entry.Take();
    out += name;
    ByteWriter length;
    length.Put<uint64_t>(bytes.size());
    out += length.Take();
  }
  for (const auto& [name, bytes] : sections) out += bytes;
  const Sha256Digest digest = Sha256(out);
  out.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  return out;
}

absl::StatusOr<Sections> DecodeCheckpoint(const std::string& file, std::string_view bytes) {
  const size_t magic = std::min(bytes.size(), kMagicBytes);
  if (bytes.empty() || std::memcmp(bytes.data(), kMagic, magic) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        file,
        " is not a Midlane checkpoint (field 'magic'); name another, or delete it to begin anew"));
  }
  if (bytes.size() < kHeaderBytes + kHashBytes) {
    return absl::DataLossError(absl::StrCat(file, " is truncated: ", bytes.size(),
                                            " bytes are less than its header (field 'length'); "
                                            "restore it from a copy, or delete it to begin anew"));
  }
  const uint32_t format = Read<uint32_t>(bytes, 8);
  if (format != kCheckpointFormat) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, " has format ", format, " (field 'format version'), this program reads ",
                     kCheckpointFormat, "; use the program that wrote it"));
  }
  const uint64_t length = Read<uint64_t>(bytes, 16);
  if (length != bytes.size()) {
    return absl::DataLossError(
        absl::StrCat(file, " is truncated or was appended to: it has ", bytes.size(),
                     " bytes and its header says ", length,
                     " (field 'length'); restore it from a copy, or delete it to begin anew"));
  }
  const std::string_view body = bytes.substr(0, bytes.size() - kHashBytes);
  const Sha256Digest digest = Sha256(body);
  if (std::memcmp(digest.data(), bytes.data() + body.size(), kHashBytes) != 0) {
    return absl::DataLossError(
        absl::StrCat(file,
                     " is corrupt: its SHA-256 (field 'hash') does not match; restore it from a "
                     "copy, or delete it to begin anew"));
  }

  const uint32_t count = Read<uint32_t>(bytes, 12);
  if (count > kSectionsMax) return Malformed(file, "field 'number of sections' is out of limits");
  std::vector<std::pair<std::string, uint64_t>> table;
  size_t at = kHeaderBytes;
  for (uint32_t i = 0; i < count; ++i) {
    if (body.size() - at < 4) return Malformed(file, "the table of sections is cut short");
    const uint32_t name_bytes = Read<uint32_t>(body, at);
    at += 4;
    if (name_bytes > kSectionNameMax || body.size() - at < size_t{name_bytes} + 8) {
      return Malformed(file, absl::StrCat("the name of section ", i, " is out of limits"));
    }
    std::string name(body.substr(at, name_bytes));
    at += name_bytes;
    table.emplace_back(std::move(name), Read<uint64_t>(body, at));
    at += 8;
  }
  Sections sections;
  for (auto& [name, size] : table) {
    if (size > body.size() - at) {
      return Malformed(file, absl::StrCat("section '", name, "' leaves the file"));
    }
    if (!sections.emplace(name, std::string(body.substr(at, size))).second) {
      return Malformed(file, absl::StrCat("section '", name, "' stands there twice"));
    }
    at += size;
  }
  if (at != body.size()) return Malformed(file, "bytes follow the last section");
  return sections;
}

absl::Status WriteCheckpoint(const std::string& path, const Sections& sections) {
  return WriteFileAtomically(path, EncodeCheckpoint(sections));
}

absl::StatusOr<Sections> ReadCheckpoint(const std::string& path) {
  absl::StatusOr<std::string> bytes = ReadFile(path);
  if (!bytes.ok()) return bytes.status();
  return DecodeCheckpoint(path, *bytes);
}

}  // namespace midlane
