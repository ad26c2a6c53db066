#include "rollout/chunk.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "rollout/hash.h"

namespace midlane {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kArrays = 10;

size_t AlignUp(size_t bytes) { return (bytes + (kAlign - 1)) & ~(kAlign - 1); }

// One array of a chunk of some number of steps. `elements` is 0 where the shape has no such array.
struct ArrayLayout {
  v1::Tensor::Name name = v1::Tensor::INVALID;
  size_t element_bytes = 0;
  size_t elements = 0;
  size_t offset = 0;

  size_t bytes() const { return element_bytes * elements; }
};

struct Layout {
  std::array<ArrayLayout, kArrays> arrays;  // [name - 1]
  size_t bytes = 0;
};

Layout MakeLayout(const ChunkShape& shape, uint32_t steps) {
  const size_t n = steps;
  Layout layout;
  layout.arrays = {{
      {v1::Tensor::INPUTS, 4, n * shape.inputs},
      {v1::Tensor::MASKS, 1, shape.masked ? n * shape.logits : 0},
      {v1::Tensor::ACTIONS, 4, n * shape.heads},
      {v1::Tensor::LOG_PROBS, 4, n},
      {v1::Tensor::VALUES, 4, n},
      {v1::Tensor::TERMS, 4, n * shape.terms},
      {v1::Tensor::ENDS, 1, n},
      {v1::Tensor::BOOTSTRAP, 4, n},
      {v1::Tensor::STATE, 4, static_cast<size_t>(shape.windows(steps)) * shape.state},
      {v1::Tensor::STARTS, 1, n},
  }};
  for (ArrayLayout& array : layout.arrays) {
    array.offset = layout.bytes;
    layout.bytes += AlignUp(array.bytes());
  }
  return layout;
}

// Points the arrays into `data`, which may be const or not as Byte is.
template <template <typename> class SpanOf, typename Byte, typename Offsets>
ChunkArrays<SpanOf> Point(const Layout& layout, Byte* data, const Offsets& offset_of) {
  ChunkArrays<SpanOf> arrays;
  const auto point = [&](v1::Tensor::Name name, auto* span) {
    using Element = typename std::remove_pointer_t<decltype(span)>::pointer;
    const ArrayLayout& array = layout.arrays[name - 1];
    if (array.elements == 0) return;
    *span = {reinterpret_cast<Element>(data + offset_of(name)), array.elements};
  };
  point(v1::Tensor::INPUTS, &arrays.inputs);
  point(v1::Tensor::MASKS, &arrays.masks);
  point(v1::Tensor::ACTIONS, &arrays.actions);
  point(v1::Tensor::LOG_PROBS, &arrays.log_probs);
  point(v1::Tensor::VALUES, &arrays.values);
  point(v1::Tensor::TERMS, &arrays.terms);
  point(v1::Tensor::ENDS, &arrays.ends);
  point(v1::Tensor::BOOTSTRAP, &arrays.bootstrap);
  point(v1::Tensor::STATE, &arrays.states);
  point(v1::Tensor::STARTS, &arrays.starts);
  return arrays;
}

std::unique_ptr<unsigned char, void (*)(void*)> Allocate(size_t bytes) {
  return {static_cast<unsigned char*>(std::aligned_alloc(kAlign, bytes)), std::free};
}

absl::Status CheckVersions(const v1::ChunkHeader& header) {
  if (header.version_size() == 0 || header.version_size() != header.version_steps_size()) {
    return absl::InvalidArgumentError(absl::StrCat("chunk header: ", header.version_size(),
                                                   " versions for ", header.version_steps_size(),
                                                   " runs; send as many of each, at least one"));
  }
  uint64_t sum = 0;
  for (uint32_t run : header.version_steps()) {
    if (run == 0) {
      return absl::InvalidArgumentError("chunk header: version_steps has an empty run; omit it");
    }
    sum += run;
  }
  if (sum != header.steps()) {
    return absl::InvalidArgumentError(absl::StrCat("chunk header: version_steps sum to ", sum,
                                                   ", steps is ", header.steps(),
                                                   "; they must be equal"));
  }
  return absl::OkStatus();
}

// Fills `offsets` [name - 1]; every array of `layout` is there once and lies inside the payload,
// apart from the others.
absl::Status CheckTensors(const Layout& layout, const v1::ChunkHeader& header,
                          std::string_view payload, std::array<size_t, kArrays>* offsets) {
  constexpr size_t kAbsent = SIZE_MAX;
  offsets->fill(kAbsent);
  if (header.tensors_size() > static_cast<int>(kArrays)) {
    return absl::InvalidArgumentError(absl::StrCat("chunk header: ", header.tensors_size(),
                                                   " tensors; there are at most ", kArrays));
  }
  for (const v1::Tensor& tensor : header.tensors()) {
    const int index = static_cast<int>(tensor.name()) - 1;
    if (index < 0 || index >= static_cast<int>(kArrays)) {
      return absl::InvalidArgumentError(
          absl::StrCat("chunk header: tensor name ", tensor.name(), " is not known"));
    }
    const std::string& name = v1::Tensor::Name_Name(tensor.name());
    const ArrayLayout& array = layout.arrays[index];
    if ((*offsets)[index] != kAbsent) {
      return absl::InvalidArgumentError(
          absl::StrCat("chunk header: tensor ", name, " comes twice"));
    }
    if (tensor.bytes() != array.bytes()) {
      return absl::InvalidArgumentError(absl::StrCat("chunk header: tensor ", name, " has ",
                                                     tensor.bytes(), " bytes, this network needs ",
                                                     array.bytes()));
    }
    if (static_cast<uint64_t>(tensor.offset()) + tensor.bytes() > payload.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("chunk header: tensor ", name, " leaves the payload"));
    }
    const auto address = reinterpret_cast<uintptr_t>(payload.data()) + tensor.offset();
    if (address % array.element_bytes != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("chunk header: tensor ", name, " is misaligned"));
    }
    (*offsets)[index] = tensor.offset();
  }
  for (const ArrayLayout& array : layout.arrays) {
    if (array.elements > 0 && (*offsets)[array.name - 1] == kAbsent) {
      return absl::InvalidArgumentError(
          absl::StrCat("chunk header: tensor ", v1::Tensor::Name_Name(array.name), " is missing"));
    }
  }
  std::array<std::pair<size_t, size_t>, kArrays> extents;  // begin, end
  size_t count = 0;
  for (const ArrayLayout& array : layout.arrays) {
    if (array.elements == 0) continue;
    const size_t begin = (*offsets)[array.name - 1];
    extents[count++] = {begin, begin + array.bytes()};
  }
  std::sort(extents.begin(), extents.begin() + count);
  for (size_t i = 1; i < count; ++i) {
    if (extents[i].first < extents[i - 1].second) {
      return absl::InvalidArgumentError("chunk header: two tensors overlap");
    }
  }
  return absl::OkStatus();
}

}  // namespace

size_t ChunkShape::payload_bytes(uint32_t steps) const { return MakeLayout(*this, steps).bytes; }

MutableChunk::MutableChunk(const ChunkShape& shape, uint32_t capacity)
    : shape_(shape), capacity_(capacity), data_(nullptr, std::free) {
  Renew();
}

void MutableChunk::Renew() {
  const Layout layout = MakeLayout(shape_, capacity_);
  data_ = Allocate(layout.bytes);
  arrays_ = Point<MutableSpan>(
      layout, data_.get(), [&](v1::Tensor::Name name) { return layout.arrays[name - 1].offset; });
}

MutableChunk::Payload MutableChunk::Finish(uint32_t steps, v1::ChunkHeader* header) {
  const Layout full = MakeLayout(shape_, capacity_);
  const Layout cut = MakeLayout(shape_, steps);
  Payload payload;
  payload.bytes = cut.bytes;
  const bool whole = steps == capacity_;
  if (whole) {
    payload.data = std::move(data_);
    Renew();
  } else {
    payload.data = Allocate(cut.bytes);
  }
  header->clear_tensors();
  for (size_t i = 0; i < kArrays; ++i) {
    const ArrayLayout& array = cut.arrays[i];
    if (array.elements == 0) continue;
    unsigned char* to = payload.data.get() + array.offset;
    if (!whole) std::memcpy(to, data_.get() + full.arrays[i].offset, array.bytes());
    std::memset(to + array.bytes(), 0, AlignUp(array.bytes()) - array.bytes());
    v1::Tensor* tensor = header->add_tensors();
    tensor->set_name(array.name);
    tensor->set_offset(static_cast<uint32_t>(array.offset));
    tensor->set_bytes(static_cast<uint32_t>(array.bytes()));
  }
  header->set_steps(steps);
  header->set_environment_hash(shape_.environment_hash);
  header->set_network_hash(shape_.network_hash);
  header->set_payload_bytes(static_cast<uint32_t>(payload.bytes));
  header->set_payload_hash(Hash64(payload.data.get(), payload.bytes));
  return payload;
}

absl::StatusOr<ChunkView> ParseChunk(const ChunkShape& shape, const v1::ChunkHeader& header,
                                     std::string_view payload) {
  const uint32_t steps = header.steps();
  if (steps == 0 || steps > kChunkStepsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk header: steps is ", steps, ", allowed are 1 to ", kChunkStepsMax));
  }
  if (header.environment_hash() != shape.environment_hash) {
    return absl::InvalidArgumentError(
        "chunk header: environment_hash is another environment's; start worker and learner on the "
        "same environment");
  }
  if (header.network_hash() != shape.network_hash) {
    return absl::InvalidArgumentError(
        "chunk header: network_hash is another network's; start worker and learner with the same "
        "[network] configuration");
  }
  if (payload.size() > kChunkBytesMax || header.payload_bytes() != payload.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk header: payload_bytes is ", header.payload_bytes(),
                     ", the payload has ", payload.size(), " (limit ", kChunkBytesMax, ")"));
  }
  if (absl::Status status = CheckVersions(header); !status.ok()) return status;
  const Layout layout = MakeLayout(shape, steps);
  std::array<size_t, kArrays> offsets;
  if (absl::Status status = CheckTensors(layout, header, payload, &offsets); !status.ok()) {
    return status;
  }
  if (Hash64(payload.data(), payload.size()) != header.payload_hash()) {
    return absl::DataLossError("chunk payload: its XXH3 is not the header's payload_hash");
  }
  ChunkView view = Point<ConstSpan>(layout, payload.data(),
                                    [&](v1::Tensor::Name name) { return offsets[name - 1]; });
  for (uint32_t i = 0; i < steps; ++i) {
    if (view.ends[i] > kTruncated || view.starts[i] > 1) {
      return absl::InvalidArgumentError(absl::StrCat("chunk payload: step ", i, " has ends ",
                                                     view.ends[i], " (0 to 2) and starts ",
                                                     view.starts[i], " (0 or 1)"));
    }
  }
  return view;
}

}  // namespace midlane
