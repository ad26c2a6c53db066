// JsonWriter: one JSON value, written in order (RFC 8259). Numbers that are not finite become null.
// Thread-safety: one thread at a time. REQUIRES: calls in an order that makes valid JSON.
#ifndef MIDLANE_LEARNER_JSON_WRITER_H_
#define MIDLANE_LEARNER_JSON_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace midlane {

class JsonWriter {
 public:
  JsonWriter& BeginObject() { return Open('{'); }
  JsonWriter& EndObject() { return Close('}'); }
  JsonWriter& BeginArray() { return Open('['); }
  JsonWriter& EndArray() { return Close(']'); }
  JsonWriter& Key(std::string_view name);
  JsonWriter& String(std::string_view text);
  JsonWriter& Number(double value);
  JsonWriter& Integer(uint64_t value);
  JsonWriter& Bool(bool value);
  // `json` is a JSON value already.
  JsonWriter& Raw(std::string_view json);

  const std::string& text() const { return text_; }

 private:
  JsonWriter& Open(char bracket);
  JsonWriter& Close(char bracket);
  void Separate();
  void Quote(std::string_view text);

  std::string text_;
  bool comma_ = false;  // a value stands before the next one
};

}  // namespace midlane

#endif  // MIDLANE_LEARNER_JSON_WRITER_H_
