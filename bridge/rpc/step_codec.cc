#include "bridge/rpc/step_codec.h"

#include <algorithm>
#include <cstring>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"

namespace midlane::rpc {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are copied as they lie");

// In a map's entry.
constexpr int kKeyField = 1, kValueField = 2;
// In every message of the kind of Tensor.FloatArray.
constexpr int kArrayField = 1;

constexpr uint32_t Tag(int field, WireFormatLite::WireType type) {
  return static_cast<uint32_t>(field) << 3 | type;
}
constexpr uint32_t Length(int field) {
  return Tag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}
constexpr uint32_t Varint(int field) { return Tag(field, WireFormatLite::WIRETYPE_VARINT); }

// Reads a field `tag` with a length and limits `input` to it.
class Nested {
 public:
  Nested(CodedInputStream* input, uint32_t tag) : input_(input) {
    if (input->ReadTag() == tag) Enter();
  }
  explicit Nested(CodedInputStream* input) : input_(input) { Enter(); }

  bool ok() const { return ok_; }
  // True where all of it was read and nothing is missing.
  bool Leave() {
    const bool whole = input_->BytesUntilLimit() == 0;
    input_->PopLimit(limit_);
    return whole;
  }

 private:
  void Enter() {
    uint32_t length = 0;
    if (!input_->ReadVarint32(&length) ||
        length > static_cast<uint32_t>(std::max(0, input_->BytesUntilLimit()))) {
      return;
    }
    limit_ = input_->PushLimit(static_cast<int>(length));
    ok_ = true;
  }

  CodedInputStream* const input_;
  CodedInputStream::Limit limit_ = 0;
  bool ok_ = false;
};

// A map entry {id, Tensor{int32s{one element}}}, its own tag read.
bool ReadAction(CodedInputStream* input, PlainStep::Action* action) {
  Nested entry(input);
  uint32_t choice = 0;
  if (!entry.ok() || input->ReadTag() != Varint(kKeyField) || !input->ReadVarint64(&action->id)) {
    return false;
  }
  Nested tensor(input, Length(kValueField));
  if (!tensor.ok()) return false;
  Nested int32s(input, Length(wire::Tensor::kInt32SFieldNumber));
  if (!int32s.ok()) return false;
  Nested array(input, Length(kArrayField));
  if (!array.ok() || !input->ReadVarint32(&choice)) return false;
  action->choice = static_cast<int32_t>(choice);
  return array.Leave() && int32s.Leave() && tensor.Leave() && entry.Leave();
}

size_t LengthDelimited(size_t bytes) {
  return 1 + CodedOutputStream::VarintSize32(static_cast<uint32_t>(bytes)) + bytes;
}

template <typename T>
T Element(const TensorBytes& tensor, int i) {
  T value;
  std::memcpy(&value, static_cast<const char*>(tensor.elements) + i * sizeof(T), sizeof value);
  return value;
}

// Calls `visit` with each element of a tensor of varints, as the 64 bits that are written.
template <typename Visit>
void ForEachVarint(const TensorBytes& tensor, Visit visit) {
  for (int i = 0; i < tensor.count; ++i) {
    switch (tensor.payload) {
      case wire::Tensor::kInt32S:
        visit(static_cast<uint64_t>(int64_t{Element<int32_t>(tensor, i)}));
        break;
      case wire::Tensor::kUint32S:
        visit(uint64_t{Element<uint32_t>(tensor, i)});
        break;
      default:
        visit(Element<uint64_t>(tensor, i));
    }
  }
}

// Bytes of the elements where they are written as they lie, else 0.
size_t PlainBytes(const TensorBytes& tensor) {
  const auto count = static_cast<size_t>(tensor.count);
  if (tensor.payload == wire::Tensor::kFloats) return count * sizeof(float);
  if (tensor.payload == wire::Tensor::kUint8S) return count;
  return 0;
}

size_t ElementsBytes(const TensorBytes& tensor) {
  if (const size_t plain = PlainBytes(tensor)) return plain;
  size_t bytes = 0;
  ForEachVarint(tensor, [&](uint64_t value) { bytes += CodedOutputStream::VarintSize64(value); });
  return bytes;
}

// What a tensor's nested messages hold, from the inside out.
struct Sizes {
  explicit Sizes(const TensorBytes& bytes)
      : elements(ElementsBytes(bytes)),
        array(elements == 0 ? 0 : LengthDelimited(elements)),
        tensor(LengthDelimited(array) + bytes.shape.size()),
        entry(1 + CodedOutputStream::VarintSize64(bytes.id) + LengthDelimited(tensor)) {}
  size_t elements, array, tensor, entry;
};

uint8_t* WriteHead(int field, size_t bytes, uint8_t* to) {
  *to++ = static_cast<uint8_t>(Length(field));
  return CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(bytes), to);
}

uint8_t* WriteEntry(const TensorBytes& tensor, const Sizes& sizes, uint8_t* to) {
  to = WriteHead(wire::StepResponse::kObservationsFieldNumber, sizes.entry, to);
  *to++ = static_cast<uint8_t>(Varint(kKeyField));
  to = CodedOutputStream::WriteVarint64ToArray(tensor.id, to);
  to = WriteHead(kValueField, sizes.tensor, to);
  to = WriteHead(tensor.payload, sizes.array, to);
  if (sizes.elements > 0) {
    to = WriteHead(kArrayField, sizes.elements, to);
    if (const size_t plain = PlainBytes(tensor)) {
      std::memcpy(to, tensor.elements, plain);
      to += plain;
    } else {
      ForEachVarint(
          tensor, [&](uint64_t value) { to = CodedOutputStream::WriteVarint64ToArray(value, to); });
    }
  }
  return std::copy(tensor.shape.begin(), tensor.shape.end(), to);
}

}  // namespace

bool ReadPlainStep(std::string_view bytes, PlainStep* step) {
  CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()),
                         static_cast<int>(bytes.size()));
  const CodedInputStream::Limit all = input.PushLimit(static_cast<int>(bytes.size()));
  Nested request(&input, Length(wire::EnvironmentRequest::kStepFieldNumber));
  if (!request.ok()) return false;
  step->actions.clear();
  step->requested.clear();
  while (input.BytesUntilLimit() > 0) {
    switch (input.ReadTag()) {
      case Length(wire::StepRequest::kActionsFieldNumber): {
        PlainStep::Action action;
        if (step->actions.size() >= MIDLANE_HEADS_MAX || !ReadAction(&input, &action)) return false;
        for (const PlainStep::Action& before : step->actions) {
          if (before.id == action.id) return false;
        }
        step->actions.push_back(action);
        break;
      }
      case Length(wire::StepRequest::kRequestedObservationsFieldNumber): {
        Nested ids(&input);
        if (!ids.ok()) return false;
        while (input.BytesUntilLimit() > 0) {
          uint64_t id = 0;
          if (step->requested.size() >= kPlainIdsMax || !input.ReadVarint64(&id)) return false;
          step->requested.push_back(id);
        }
        if (!ids.Leave()) return false;
        break;
      }
      default:
        return false;
    }
  }
  if (!request.Leave() || input.BytesUntilLimit() != 0) return false;
  input.PopLimit(all);
  return true;
}

std::string ShapeField(absl::Span<const uint32_t> extents) {
  wire::Tensor tensor;
  for (const uint32_t extent : extents) tensor.add_shape(static_cast<int32_t>(extent));
  return tensor.SerializeAsString();
}

void WriteStepResponse(wire::EnvironmentStateType state, absl::Span<const TensorBytes> observations,
                       std::string* response) {
  absl::InlinedVector<Sizes, 32> sizes;
  sizes.reserve(observations.size());
  size_t step = 1 + CodedOutputStream::VarintSize32(state);
  for (const TensorBytes& tensor : observations) {
    sizes.emplace_back(tensor);
    step += LengthDelimited(sizes.back().entry);
  }
  response->resize(LengthDelimited(step));
  auto* to = reinterpret_cast<uint8_t*>(response->data());
  to = WriteHead(wire::EnvironmentResponse::kStepFieldNumber, step, to);
  *to++ = static_cast<uint8_t>(Varint(wire::StepResponse::kStateFieldNumber));
  to = CodedOutputStream::WriteVarint32ToArray(state, to);
  for (size_t i = 0; i < observations.size(); ++i) to = WriteEntry(observations[i], sizes[i], to);
}

}  // namespace midlane::rpc
