#include "learner/tensorboard.h"

#include <unistd.h>

#include <array>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "learner/files.h"

namespace midlane {
namespace {

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

template <typename T>
void PutFixed(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutVarint(std::string* out, uint64_t value) {
  while (value >= 0x80) {
    *out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *out += static_cast<char>(value);
}

enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void PutTag(std::string* out, uint32_t field, WireType type) {
  PutVarint(out, field << 3 | static_cast<uint32_t>(type));
}

void PutBytes(std::string* out, uint32_t field, std::string_view bytes) {
  PutTag(out, field, kBytes);
  PutVarint(out, bytes.size());
  out->append(bytes.data(), bytes.size());
}

std::string Frame(std::string_view event) {
  std::string length;
  PutFixed<uint64_t>(&length, event.size());
  std::string record = length;
  PutFixed(&record, MaskedCrc32c(length));
  record.append(event.data(), event.size());
  PutFixed(&record, MaskedCrc32c(event));
  return record;
}

double Now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

uint32_t MaskedCrc32c(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

std::string EncodeEventRecord(double wall_time, uint64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) {
    std::string one;
    PutBytes(&one, 1, tag);
    PutTag(&one, 2, kFixed32);
    PutFixed(&one, static_cast<float>(value));
    PutBytes(&summary, 1, one);
  }
  std::string event;
  PutTag(&event, 1, kFixed64);
  PutFixed(&event, wall_time);
  PutTag(&event, 2, kVarint);
  PutVarint(&event, step);
  PutBytes(&event, 5, summary);
  return Frame(event);
}

std::string EncodeFileVersionRecord(double wall_time) {
  std::string event;
  PutTag(&event, 1, kFixed64);
  PutFixed(&event, wall_time);
  PutBytes(&event, 3, "brain.Event:2");
  return Frame(event);
}

absl::StatusOr<std::unique_ptr<TensorBoardWriter>> TensorBoardWriter::Create(
    const std::string& folder) {
  if (absl::Status status = MakeFolder(folder); !status.ok()) return status;
  char host[256] = "host";
  gethostname(host, sizeof(host) - 1);
  std::string path = absl::StrCat(folder, "/events.out.tfevents.", static_cast<int64_t>(Now()), ".",
                                  host, ".", getpid());
  absl::StatusOr<std::unique_ptr<AppendFile>> file = AppendFile::Open(path);
  if (!file.ok()) return file.status();
  if (absl::Status status = (*file)->Append(EncodeFileVersionRecord(Now())); !status.ok()) {
    return status;
  }
  return std::unique_ptr<TensorBoardWriter>(new TensorBoardWriter(*std::move(file)));
}

absl::Status TensorBoardWriter::Add(uint64_t step, const Scalars& scalars) {
  return file_->Append(EncodeEventRecord(Now(), step, scalars));
}

}  // namespace midlane
