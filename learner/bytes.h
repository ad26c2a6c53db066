// Bytes: little-endian fields of a checkpoint section, written in order and read back in the same.
//
// ByteReader remembers the first field that was missing or out of limits; everything read after it
// is
//   zero, so a parser reads all fields and asks once. It allocates no more than the input holds.
// Thread-safety: one thread at a time.
#ifndef MIDLANE_LEARNER_BYTES_H_
#define MIDLANE_LEARNER_BYTES_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace midlane {

class ByteWriter {
 public:
  template <typename T>
  void Put(T value) {
    static_assert(std::is_arithmetic_v<T>);
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void PutString(std::string_view text) {
    Put<uint64_t>(text.size());
    out_.append(text.data(), text.size());
  }
  template <typename T>
  void PutVector(const std::vector<T>& values) {
    static_assert(std::is_arithmetic_v<T>);
    Put<uint64_t>(values.size());
    out_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view in) : in_(in) {}

  template <typename T>
  T Get(const char* field) {
    T value{};
    if (Need(sizeof(T), field)) {
      std::memcpy(&value, in_.data(), sizeof(T));
      in_.remove_prefix(sizeof(T));
    }
    return value;
  }
  std::string GetString(const char* field) {
    const uint64_t size = Get<uint64_t>(field);
    if (!Need(size, field)) return "";
    std::string text(in_.substr(0, size));
    in_.remove_prefix(size);
    return text;
  }
  template <typename T>
  std::vector<T> GetVector(const char* field) {
    const uint64_t size = Get<uint64_t>(field);
    if (size > in_.size() / sizeof(T)) {
      Fail(field);
      return {};
    }
    std::vector<T> values(size);
    if (size > 0) std::memcpy(values.data(), in_.data(), size * sizeof(T));
    in_.remove_prefix(size * sizeof(T));
    return values;
  }
  // A count of records of at least `record_bytes` each that are still to come.
  uint64_t GetCount(const char* field, size_t record_bytes) {
    const uint64_t count = Get<uint64_t>(field);
    if (count <= in_.size() / record_bytes) return count;
    Fail(field);
    return 0;
  }
  void Fail(const char* field) {
    if (bad_ == nullptr) bad_ = field;
    in_ = {};
  }

  // OK where every field was there and nothing is left; else names the field.
  absl::Status Done() const {
    if (bad_ != nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("field '", bad_, "' is cut short or invalid"));
    }
    if (!in_.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(in_.size(), " bytes follow the last field"));
    }
    return absl::OkStatus();
  }

 private:
  bool Need(uint64_t bytes, const char* field) {
    if (bad_ == nullptr && bytes <= in_.size()) return true;
    Fail(field);
    return false;
  }

  std::string_view in_;
  const char* bad_ = nullptr;
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_BYTES_H_
