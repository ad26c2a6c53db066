#include "bridge/spec.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace midlane {
namespace {

constexpr uint32_t kFrameSkipMax = 1000000;

template <typename Named>
int FindNamed(const std::vector<Named>& list, std::string_view name) {
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

int FindString(const std::vector<std::string>& list, std::string_view name) {
  const auto it = std::find(list.begin(), list.end(), name);
  return it == list.end() ? -1 : static_cast<int>(it - list.begin());
}

absl::Status Invalid(absl::string_view field, absl::string_view problem, absl::string_view remedy) {
  return absl::InvalidArgumentError(absl::StrCat("spec: ", field, " ", problem, ": ", remedy));
}

absl::Status CheckCount(absl::string_view field, uint32_t count, uint32_t least, uint32_t most) {
  if (count >= least && count <= most) return absl::OkStatus();
  return Invalid(field, absl::StrCat("has ", count, " entries"),
                 absl::StrCat("declare ", least, " to ", most));
}

// Any printable ASCII but '=', which separates names from values in settings.
absl::StatusOr<std::string> ReadName(absl::string_view field, const char* text) {
  const size_t length = strnlen(text, MIDLANE_NAME_BYTES);
  if (length == 0) return Invalid(field, "has no name", "give it one");
  if (length == MIDLANE_NAME_BYTES) {
    return Invalid(field, "has a name without an end",
                   absl::StrCat("use at most ", MIDLANE_NAME_BYTES - 1, " bytes"));
  }
  for (size_t i = 0; i < length; ++i) {
    if (text[i] <= ' ' || text[i] > '~' || text[i] == '=') {
      return Invalid(field, absl::StrCat("has a name whose byte ", i + 1, " is not allowed"),
                     "use printable ASCII without spaces and '='");
    }
  }
  return std::string(text, length);
}

absl::StatusOr<std::vector<std::string>> ReadNames(absl::string_view field,
                                                   const midlane_name* names, uint32_t count) {
  std::vector<std::string> result;
  result.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    absl::StatusOr<std::string> name =
        ReadName(absl::StrCat(field, "[", i + 1, "]"), names[i].text);
    if (!name.ok()) return name.status();
    if (FindString(result, *name) >= 0) {
      return Invalid(absl::StrCat(field, "[", i + 1, "]"),
                     absl::StrCat("repeats the name '", *name, "'"), "names must differ");
    }
    result.push_back(*std::move(name));
  }
  return result;
}

absl::StatusOr<TensorSpec> ReadTensor(uint32_t index, const midlane_tensor_spec& raw) {
  absl::StatusOr<std::string> name =
      ReadName(absl::StrCat("observations[", index + 1, "]"), raw.name);
  if (!name.ok()) return name.status();
  const std::string field = absl::StrCat("observation '", *name, "'");
  TensorSpec tensor;
  tensor.name = *std::move(name);
  if (raw.dtype != MIDLANE_DTYPE_F32 && raw.dtype != MIDLANE_DTYPE_I32 &&
      raw.dtype != MIDLANE_DTYPE_U8) {
    return Invalid(field, absl::StrCat("has the unknown dtype ", raw.dtype), "use f32, i32 or u8");
  }
  tensor.dtype = static_cast<midlane_dtype>(raw.dtype);
  if (raw.rank > MIDLANE_RANK_MAX) {
    return Invalid(field, absl::StrCat("has rank ", raw.rank),
                   absl::StrCat("use at most ", MIDLANE_RANK_MAX, " dimensions"));
  }
  uint64_t bytes = midlane_dtype_bytes(raw.dtype);
  for (uint32_t d = 0; d < MIDLANE_RANK_MAX; ++d) {
    if (d >= raw.rank) {
      if (raw.shape[d] == 1) continue;
      return Invalid(field, absl::StrCat("has a size in dimension ", d + 1, " past its rank"),
                     "set the sizes past the rank to 1");
    }
    if (raw.shape[d] == 0) {
      return Invalid(field, absl::StrCat("has size 0 in dimension ", d + 1),
                     "every dimension must be at least 1");
    }
    bytes *= raw.shape[d];  // no overflow: both factors are below 2^32
    if (bytes > MIDLANE_OBSERVATION_BYTES_MAX) {
      return Invalid(field, "is too large",
                     absl::StrCat("an agent's observation holds at most ",
                                  MIDLANE_OBSERVATION_BYTES_MAX, " bytes"));
    }
    tensor.shape.push_back(raw.shape[d]);
  }
  if (!(raw.minimum <= raw.maximum)) {
    return Invalid(field, absl::StrCat("has bounds ", raw.minimum, " to ", raw.maximum),
                   "min must be at most max, and neither may be NaN");
  }
  tensor.minimum = raw.minimum;
  tensor.maximum = raw.maximum;
  tensor.offset = raw.offset;
  return tensor;
}

absl::Status CheckLayout(const Spec& spec) {
  if (spec.observation_bytes > MIDLANE_OBSERVATION_BYTES_MAX ||
      spec.observation_bytes % MIDLANE_ALIGN != 0) {
    return Invalid("observation_bytes", absl::StrCat("is ", spec.observation_bytes),
                   absl::StrCat("it must be a multiple of ", MIDLANE_ALIGN, " of at most ",
                                MIDLANE_OBSERVATION_BYTES_MAX));
  }
  std::vector<const TensorSpec*> by_offset;
  for (const TensorSpec& tensor : spec.tensors) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(),
            [](const TensorSpec* a, const TensorSpec* b) { return a->offset < b->offset; });
  uint64_t end = 0;
  for (const TensorSpec* tensor : by_offset) {
    const std::string field = absl::StrCat("observation '", tensor->name, "'");
    if (tensor->offset % MIDLANE_ALIGN != 0) {
      return Invalid(field, absl::StrCat("begins at byte ", tensor->offset),
                     absl::StrCat("offsets must be multiples of ", MIDLANE_ALIGN));
    }
    if (tensor->offset < end) {
      return Invalid(field, "overlaps the observation before it", "lay tensors out one by one");
    }
    end = uint64_t{tensor->offset} + tensor->bytes();
    if (end > spec.observation_bytes) {
      return Invalid(field, absl::StrCat("ends at byte ", end, " of ", spec.observation_bytes),
                     "observation_bytes must cover every tensor");
    }
  }
  const uint64_t covered = (end + MIDLANE_ALIGN - 1) / MIDLANE_ALIGN * MIDLANE_ALIGN;
  if (covered != spec.observation_bytes) {
    return Invalid("observation_bytes", absl::StrCat("is ", spec.observation_bytes),
                   absl::StrCat("the last tensor ends within ", covered));
  }
  return absl::OkStatus();
}

absl::Status ReadMask(uint32_t index, uint32_t masks_head, Spec* spec) {
  if (masks_head == 0) return absl::OkStatus();
  TensorSpec& tensor = spec->tensors[index];
  const std::string field = absl::StrCat("observation '", tensor.name, "'");
  if (masks_head > spec->heads.size()) {
    return Invalid(field, absl::StrCat("masks action head ", masks_head),
                   absl::StrCat("there are ", spec->heads.size()));
  }
  HeadSpec& head = spec->heads[masks_head - 1];
  if (tensor.dtype != MIDLANE_DTYPE_U8 || tensor.shape.size() != 1 ||
      tensor.shape[0] != head.choices) {
    return Invalid(field, absl::StrCat("masks action '", head.name, "' in another form"),
                   absl::StrCat("a mask is u8 of shape {", head.choices, "}"));
  }
  if (head.mask_tensor >= 0) {
    return Invalid(field, absl::StrCat("is a second mask of action '", head.name, "'"), "keep one");
  }
  tensor.masks_head = static_cast<int>(masks_head) - 1;
  head.mask_tensor = static_cast<int>(index);
  return absl::OkStatus();
}

absl::Status WriteName(absl::string_view field, absl::string_view name, char* out) {
  if (name.size() >= MIDLANE_NAME_BYTES || name.find('\0') != absl::string_view::npos) {
    return Invalid(field, absl::StrCat("'", name, "' is too long or holds a NUL"),
                   absl::StrCat("use at most ", MIDLANE_NAME_BYTES - 1, " bytes"));
  }
  std::memcpy(out, name.data(), name.size());
  return absl::OkStatus();
}

absl::Status WriteNames(absl::string_view field, const std::vector<std::string>& names,
                        uint32_t most, midlane_name* out, uint32_t* count) {
  *count = static_cast<uint32_t>(names.size());
  if (absl::Status status = CheckCount(field, *count, 0, most); !status.ok()) return status;
  for (size_t i = 0; i < names.size(); ++i) {
    absl::Status status = WriteName(field, names[i], out[i].text);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

class Hasher {
 public:
  Hasher() { XXH3_64bits_reset(&state_); }
  void Add(uint64_t value) { XXH3_64bits_update(&state_, &value, sizeof(value)); }
  void Add(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    Add(uint64_t{bits});
  }
  void Add(absl::string_view text) {
    Add(uint64_t{text.size()});
    XXH3_64bits_update(&state_, text.data(), text.size());
  }
  void Add(const std::vector<std::string>& texts) {
    Add(uint64_t{texts.size()});
    for (const std::string& text : texts) Add(absl::string_view(text));
  }
  uint64_t Digest() const { return XXH3_64bits_digest(&state_); }

 private:
  XXH3_state_t state_;
};

}  // namespace

uint32_t TensorSpec::elements() const {
  uint32_t product = 1;
  for (uint32_t size : shape) product *= size;
  return product;
}

int Spec::FindAgent(std::string_view name) const { return FindString(agents, name); }
int Spec::FindTensor(std::string_view name) const { return FindNamed(tensors, name); }
int Spec::FindTerm(std::string_view name) const { return FindString(terms, name); }
int Spec::FindMetric(std::string_view name) const { return FindString(metrics, name); }

uint32_t Spec::input_width() const {
  uint32_t width = 0;
  for (const TensorSpec& tensor : tensors) {
    if (tensor.masks_head < 0) width += tensor.elements();
  }
  return width;
}

uint32_t Spec::logits_width() const {
  uint32_t width = 0;
  for (const HeadSpec& head : heads) width += head.choices;
  return width;
}

uint64_t Spec::Hash() const {
  Hasher hasher;
  hasher.Add(absl::string_view(environment));
  hasher.Add(agents);
  hasher.Add(uint64_t{tensors.size()});
  for (const TensorSpec& tensor : tensors) {
    hasher.Add(absl::string_view(tensor.name));
    hasher.Add(uint64_t{static_cast<uint32_t>(tensor.dtype)});
    hasher.Add(uint64_t{tensor.shape.size()});
    for (uint32_t size : tensor.shape) hasher.Add(uint64_t{size});
    hasher.Add(tensor.minimum);
    hasher.Add(tensor.maximum);
    hasher.Add(uint64_t{tensor.offset});
    hasher.Add(static_cast<uint64_t>(int64_t{tensor.masks_head}));
  }
  hasher.Add(uint64_t{heads.size()});
  for (const HeadSpec& head : heads) {
    hasher.Add(absl::string_view(head.name));
    hasher.Add(uint64_t{head.choices});
    hasher.Add(static_cast<uint64_t>(int64_t{head.mask_tensor}));
  }
  hasher.Add(terms);
  hasher.Add(metrics);
  hasher.Add(frames_per_second);
  hasher.Add(uint64_t{observation_bytes});
  return hasher.Digest();
}

absl::StatusOr<Spec> ParseSpec(const midlane_spec& raw) {
  Spec spec;
  absl::StatusOr<std::string> environment = ReadName("environment", raw.environment);
  if (!environment.ok()) return environment.status();
  spec.environment = *std::move(environment);

  for (const absl::Status& status :
       {CheckCount("agents", raw.agents, 1, MIDLANE_AGENTS_MAX),
        CheckCount("observations", raw.tensors, 1, MIDLANE_TENSORS_MAX),
        CheckCount("actions", raw.heads, 1, MIDLANE_HEADS_MAX),
        CheckCount("rewards", raw.terms, 0, MIDLANE_TERMS_MAX),
        CheckCount("metrics", raw.metrics, 0, MIDLANE_METRICS_MAX)}) {
    if (!status.ok()) return status;
  }
  if (raw.frame_skip < 1 || raw.frame_skip > kFrameSkipMax) {
    return Invalid("frame_skip", absl::StrCat("is ", raw.frame_skip),
                   absl::StrCat("use 1 to ", kFrameSkipMax));
  }
  spec.frame_skip = raw.frame_skip;
  if (!(raw.frames_per_second > 0) || !std::isfinite(raw.frames_per_second)) {
    return Invalid("frames_per_second", absl::StrCat("is ", raw.frames_per_second),
                   "give the game's frames per second of game time");
  }
  spec.frames_per_second = raw.frames_per_second;
  spec.observation_bytes = raw.observation_bytes;

  for (uint32_t i = 0; i < raw.heads; ++i) {
    const std::string field = absl::StrCat("actions[", i + 1, "]");
    absl::StatusOr<std::string> name = ReadName(field, raw.head[i].name);
    if (!name.ok()) return name.status();
    if (FindNamed(spec.heads, *name) >= 0) {
      return Invalid(field, absl::StrCat("repeats the name '", *name, "'"), "names must differ");
    }
    if (raw.head[i].choices < 2 || raw.head[i].choices > MIDLANE_CHOICES_MAX) {
      return Invalid(absl::StrCat("action '", *name, "'"),
                     absl::StrCat("has ", raw.head[i].choices, " choices"),
                     absl::StrCat("use 2 to ", MIDLANE_CHOICES_MAX));
    }
    HeadSpec head;
    head.name = *std::move(name);
    head.choices = raw.head[i].choices;
    spec.heads.push_back(std::move(head));
  }

  bool observes = false;
  for (uint32_t i = 0; i < raw.tensors; ++i) {
    absl::StatusOr<TensorSpec> tensor = ReadTensor(i, raw.tensor[i]);
    if (!tensor.ok()) return tensor.status();
    if (FindNamed(spec.tensors, tensor->name) >= 0) {
      return Invalid(absl::StrCat("observations[", i + 1, "]"),
                     absl::StrCat("repeats the name '", tensor->name, "'"), "names must differ");
    }
    spec.tensors.push_back(*std::move(tensor));
    absl::Status status = ReadMask(i, raw.tensor[i].masks_head, &spec);
    if (!status.ok()) return status;
    if (raw.tensor[i].masks_head == 0) observes = true;
  }
  if (!observes) {
    return Invalid("observations", "holds only masks", "declare at least one that is none");
  }
  if (absl::Status status = CheckLayout(spec); !status.ok()) return status;

  struct {
    const char* field;
    const midlane_name* names;
    uint32_t count;
    std::vector<std::string>* out;
  } lists[] = {{"agents", raw.agent, raw.agents, &spec.agents},
               {"rewards", raw.term, raw.terms, &spec.terms},
               {"metrics", raw.metric, raw.metrics, &spec.metrics}};
  for (auto& list : lists) {
    absl::StatusOr<std::vector<std::string>> names = ReadNames(list.field, list.names, list.count);
    if (!names.ok()) return names.status();
    *list.out = *std::move(names);
  }
  return spec;
}

absl::StatusOr<midlane_spec> MakeRawSpec(const Spec& spec) {
  midlane_spec raw{};
  absl::Status status = WriteName("environment", spec.environment, raw.environment);
  if (!status.ok()) return status;
  for (const absl::Status& written :
       {WriteNames("agents", spec.agents, MIDLANE_AGENTS_MAX, raw.agent, &raw.agents),
        WriteNames("rewards", spec.terms, MIDLANE_TERMS_MAX, raw.term, &raw.terms),
        WriteNames("metrics", spec.metrics, MIDLANE_METRICS_MAX, raw.metric, &raw.metrics),
        CheckCount("observations", spec.tensors.size(), 1, MIDLANE_TENSORS_MAX),
        CheckCount("actions", spec.heads.size(), 1, MIDLANE_HEADS_MAX)}) {
    if (!written.ok()) return written;
  }
  raw.frame_skip = spec.frame_skip;
  raw.frames_per_second = spec.frames_per_second;
  raw.heads = static_cast<uint32_t>(spec.heads.size());
  for (uint32_t i = 0; i < raw.heads; ++i) {
    status = WriteName("actions", spec.heads[i].name, raw.head[i].name);
    if (!status.ok()) return status;
    raw.head[i].choices = spec.heads[i].choices;
  }
  raw.tensors = static_cast<uint32_t>(spec.tensors.size());
  uint64_t offset = 0;
  for (uint32_t i = 0; i < raw.tensors; ++i) {
    const TensorSpec& tensor = spec.tensors[i];
    midlane_tensor_spec& out = raw.tensor[i];
    status = WriteName("observations", tensor.name, out.name);
    if (!status.ok()) return status;
    if (tensor.shape.size() > MIDLANE_RANK_MAX) {
      return Invalid(absl::StrCat("observation '", tensor.name, "'"),
                     absl::StrCat("has rank ", tensor.shape.size()),
                     absl::StrCat("use at most ", MIDLANE_RANK_MAX, " dimensions"));
    }
    out.dtype = tensor.dtype;
    out.rank = static_cast<uint32_t>(tensor.shape.size());
    uint64_t bytes = midlane_dtype_bytes(tensor.dtype);
    for (uint32_t d = 0; d < MIDLANE_RANK_MAX; ++d) {
      out.shape[d] = d < out.rank ? tensor.shape[d] : 1;
      bytes = std::min<uint64_t>(bytes * out.shape[d], uint64_t{1} << 31);
    }
    out.minimum = tensor.minimum;
    out.maximum = tensor.maximum;
    out.offset = static_cast<uint32_t>(offset);
    out.masks_head = static_cast<uint32_t>(tensor.masks_head + 1);
    offset = (offset + bytes + MIDLANE_ALIGN - 1) / MIDLANE_ALIGN * MIDLANE_ALIGN;
    if (offset > MIDLANE_OBSERVATION_BYTES_MAX) {
      return Invalid(absl::StrCat("observation '", tensor.name, "'"), "is too large",
                     absl::StrCat("an agent's observation holds at most ",
                                  MIDLANE_OBSERVATION_BYTES_MAX, " bytes"));
    }
  }
  raw.observation_bytes = static_cast<uint32_t>(offset);
  if (absl::StatusOr<Spec> parsed = ParseSpec(raw); !parsed.ok()) return parsed.status();
  return raw;
}

void FlattenObservation(const Spec& spec, const unsigned char* observation, float* inputs,
                        uint8_t* masks) {
  for (const TensorSpec& tensor : spec.tensors) {
    if (tensor.masks_head >= 0) continue;
    const uint32_t count = tensor.elements();
    const unsigned char* bytes = observation + tensor.offset;
    if (tensor.dtype == MIDLANE_DTYPE_F32) {
      std::memcpy(inputs, bytes, count * sizeof(float));
    } else if (tensor.dtype == MIDLANE_DTYPE_I32) {
      const auto* values = reinterpret_cast<const int32_t*>(bytes);
      for (uint32_t i = 0; i < count; ++i) inputs[i] = static_cast<float>(values[i]);
    } else {
      for (uint32_t i = 0; i < count; ++i) inputs[i] = static_cast<float>(bytes[i]);
    }
    inputs += count;
  }
  for (const HeadSpec& head : spec.heads) {
    if (head.mask_tensor < 0) {
      std::memset(masks, 1, head.choices);
    } else {
      // Any byte but 0 allows; what leaves here is 0 or 1.
      const unsigned char* bytes = observation + spec.tensors[head.mask_tensor].offset;
      for (uint32_t i = 0; i < head.choices; ++i) masks[i] = bytes[i] != 0;
    }
    masks += head.choices;
  }
}

}  // namespace midlane
