#include "rollout/policy/weights.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace midlane {
namespace {

static_assert(std::endian::native == std::endian::little, "the wire form is little endian");

constexpr char kMagic[8] = {'M', 'D', 'L', 'W', 'G', 'H', 'T', '1'};
constexpr uint32_t kFormat = 1;

struct Header {
  char magic[8];
  uint32_t format;
  uint32_t dtype;
  uint64_t version;
  uint64_t shape_hash;
  uint64_t parameters;
  uint32_t inputs;
  uint32_t reserved[3];
  uint64_t hash;  // XXH3 of what follows the header, seeded with XXH3 of the header before it
};
static_assert(sizeof(Header) == 64);

uint64_t BlobHash(const char* blob, size_t bytes) {
  const uint64_t seed = XXH3_64bits(blob, offsetof(Header, hash));
  return XXH3_64bits_withSeed(blob + sizeof(Header), bytes - sizeof(Header), seed);
}

// Round to nearest, ties to even; a NaN stays a NaN.
uint16_t ToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

float FromBf16(uint16_t value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

size_t DtypeBytes(uint32_t dtype) {
  return dtype == static_cast<uint32_t>(WireDtype::kBf16) ? sizeof(uint16_t) : sizeof(float);
}

absl::Status CheckFinite(const std::vector<float>& values, const char* what, uint64_t version) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("weights version ", version, ": ", what, "[", i,
                       "] is not finite; the training that wrote them diverged"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckWeights(const NetworkShape& shape, const Weights& weights) {
  const auto check = [&](size_t have, size_t want, const char* what) {
    if (have == want) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("weights version ", weights.version, " hold ",
                                                   have, " ", what, " where the network has ", want,
                                                   "; they belong to another network"));
  };
  if (auto status = check(weights.mean.size(), shape.inputs, "means"); !status.ok()) return status;
  if (auto status = check(weights.inv_std.size(), shape.inputs, "deviations"); !status.ok()) {
    return status;
  }
  return check(weights.parameters.size(), ParameterCount(shape), "parameters");
}

std::string EncodeWeights(const NetworkShape& shape, const Weights& weights, WireDtype dtype) {
  Header header = {};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.format = kFormat;
  header.dtype = static_cast<uint32_t>(dtype);
  header.version = weights.version;
  header.shape_hash = shape.Hash();
  header.parameters = weights.parameters.size();
  header.inputs = shape.inputs;

  const size_t statistics_bytes = shape.inputs * sizeof(float);
  std::string blob(
      sizeof(Header) + 2 * statistics_bytes + weights.parameters.size() * DtypeBytes(header.dtype),
      '\0');
  char* out = blob.data();
  std::memcpy(out, &header, sizeof(header));
  out += sizeof(header);
  std::memcpy(out, weights.mean.data(), statistics_bytes);
  out += statistics_bytes;
  std::memcpy(out, weights.inv_std.data(), statistics_bytes);
  out += statistics_bytes;
  if (dtype == WireDtype::kF32) {
    std::memcpy(out, weights.parameters.data(), weights.parameters.size() * sizeof(float));
  } else {
    for (float parameter : weights.parameters) {
      const uint16_t rounded = ToBf16(parameter);
      std::memcpy(out, &rounded, sizeof(rounded));
      out += sizeof(rounded);
    }
  }
  const uint64_t hash = BlobHash(blob.data(), blob.size());
  std::memcpy(blob.data() + offsetof(Header, hash), &hash, sizeof(hash));
  return blob;
}

absl::StatusOr<Weights> DecodeWeights(const NetworkShape& shape, std::string_view blob) {
  Header header;
  if (blob.size() < sizeof(header)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "weights of ", blob.size(), " bytes are truncated: the header alone has ", sizeof(header)));
  }
  std::memcpy(&header, blob.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    return absl::InvalidArgumentError(
        "these are not Midlane weights: they do not begin with MDLWGHT1");
  }
  if (header.format != kFormat) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights have format ", header.format, ", this build reads format ", kFormat,
                     "; use the same build of Midlane on both sides"));
  }
  if (header.dtype != static_cast<uint32_t>(WireDtype::kF32) &&
      header.dtype != static_cast<uint32_t>(WireDtype::kBf16)) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights have dtype ", header.dtype, "; known are 1 (f32) and 2 (bf16)"));
  }
  if (header.shape_hash != shape.Hash() || header.inputs != shape.inputs ||
      header.parameters != ParameterCount(shape)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "weights version ", header.version, " belong to another network (", header.inputs,
        " inputs, ", header.parameters, " parameters; this one has ", shape.inputs, " and ",
        ParameterCount(shape), "); use the [network] settings and the environment of their run"));
  }
  const size_t expected = sizeof(Header) + 2 * shape.inputs * sizeof(float) +
                          ParameterCount(shape) * DtypeBytes(header.dtype);
  if (blob.size() != expected) {
    return absl::InvalidArgumentError(absl::StrCat("weights version ", header.version, " have ",
                                                   blob.size(), " bytes in place of ", expected,
                                                   ": they are truncated or have a tail"));
  }
  if (header.hash != BlobHash(blob.data(), blob.size())) {
    return absl::DataLossError(absl::StrCat("weights version ", header.version,
                                            " are corrupt: their XXH3 differs from the header's"));
  }

  Weights weights;
  weights.version = header.version;
  weights.mean.resize(shape.inputs);
  weights.inv_std.resize(shape.inputs);
  weights.parameters.resize(header.parameters);
  const size_t statistics_bytes = shape.inputs * sizeof(float);
  const char* in = blob.data() + sizeof(header);
  std::memcpy(weights.mean.data(), in, statistics_bytes);
  in += statistics_bytes;
  std::memcpy(weights.inv_std.data(), in, statistics_bytes);
  in += statistics_bytes;
  if (header.dtype == static_cast<uint32_t>(WireDtype::kF32)) {
    std::memcpy(weights.parameters.data(), in, weights.parameters.size() * sizeof(float));
  } else {
    for (float& parameter : weights.parameters) {
      uint16_t rounded;
      std::memcpy(&rounded, in, sizeof(rounded));
      in += sizeof(rounded);
      parameter = FromBf16(rounded);
    }
  }
  if (auto status = CheckFinite(weights.mean, "mean", weights.version); !status.ok()) return status;
  if (auto status = CheckFinite(weights.inv_std, "inv_std", weights.version); !status.ok()) {
    return status;
  }
  if (auto status = CheckFinite(weights.parameters, "parameters", weights.version); !status.ok()) {
    return status;
  }
  return weights;
}

void RoundToWire(WireDtype dtype, std::vector<float>* parameters) {
  if (dtype != WireDtype::kBf16) return;
  for (float& parameter : *parameters) parameter = FromBf16(ToBf16(parameter));
}

}  // namespace midlane
