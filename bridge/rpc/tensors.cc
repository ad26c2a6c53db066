#include "bridge/rpc/tensors.h"

#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "bridge/setting.h"
#include "google/protobuf/stubs/logging.h"

namespace midlane::rpc {
namespace {

std::string NumberText(double value) {
  char text[32];
  const std::to_chars_result end = std::to_chars(text, text + sizeof text, value);
  return std::string(text, end.ptr);
}

int PayloadElements(const wire::Tensor& tensor) {
  switch (tensor.payload_case()) {
    case wire::Tensor::kFloats:
      return tensor.floats().array_size();
    case wire::Tensor::kDoubles:
      return tensor.doubles().array_size();
    case wire::Tensor::kInt8S:
      return static_cast<int>(tensor.int8s().array().size());
    case wire::Tensor::kInt32S:
      return tensor.int32s().array_size();
    case wire::Tensor::kInt64S:
      return tensor.int64s().array_size();
    case wire::Tensor::kUint8S:
      return static_cast<int>(tensor.uint8s().array().size());
    case wire::Tensor::kUint32S:
      return tensor.uint32s().array_size();
    case wire::Tensor::kUint64S:
      return tensor.uint64s().array_size();
    case wire::Tensor::kBools:
      return tensor.bools().array_size();
    case wire::Tensor::kStrings:
      return tensor.strings().array_size();
    case wire::Tensor::kProtos:
      return tensor.protos().array_size();
    case wire::Tensor::PAYLOAD_NOT_SET:
      return 0;
  }
  return 0;
}

// REQUIRES: the payload has one element.
absl::StatusOr<std::string> ElementText(const std::string& name, const wire::Tensor& tensor) {
  double number = 0;
  switch (tensor.payload_case()) {
    case wire::Tensor::kInt8S:
      return absl::StrCat(static_cast<int>(static_cast<int8_t>(tensor.int8s().array()[0])));
    case wire::Tensor::kUint8S:
      return absl::StrCat(static_cast<int>(static_cast<uint8_t>(tensor.uint8s().array()[0])));
    case wire::Tensor::kInt32S:
      return absl::StrCat(tensor.int32s().array(0));
    case wire::Tensor::kInt64S:
      return absl::StrCat(tensor.int64s().array(0));
    case wire::Tensor::kUint32S:
      return absl::StrCat(tensor.uint32s().array(0));
    case wire::Tensor::kUint64S:
      return absl::StrCat(tensor.uint64s().array(0));
    case wire::Tensor::kBools:
      return std::string(tensor.bools().array(0) ? "true" : "false");
    case wire::Tensor::kStrings:
      return tensor.strings().array(0);
    case wire::Tensor::kFloats:
      number = tensor.floats().array(0);
      break;
    case wire::Tensor::kDoubles:
      number = tensor.doubles().array(0);
      break;
    case wire::Tensor::kProtos:
    case wire::Tensor::PAYLOAD_NOT_SET:
      return absl::InvalidArgumentError(absl::StrCat("setting '", name, "' holds ",
                                                     PayloadName(tensor),
                                                     ": give a number, a bool or a string"));
  }
  if (!std::isfinite(number)) {
    return absl::InvalidArgumentError(
        absl::StrCat("setting '", name, "' is not a finite number: give one"));
  }
  // A float's shortest form, not that of the double it widens to: 0.1f is "0.1".
  if (tensor.payload_case() == wire::Tensor::kFloats) {
    char text[32];
    const std::to_chars_result end =
        std::to_chars(text, text + sizeof text, tensor.floats().array(0));
    return std::string(text, end.ptr);
  }
  return NumberText(number);
}

}  // namespace

const char* PayloadName(const wire::Tensor& tensor) {
  switch (tensor.payload_case()) {
    case wire::Tensor::kFloats:
      return "floats";
    case wire::Tensor::kDoubles:
      return "doubles";
    case wire::Tensor::kInt8S:
      return "int8s";
    case wire::Tensor::kInt32S:
      return "int32s";
    case wire::Tensor::kInt64S:
      return "int64s";
    case wire::Tensor::kUint8S:
      return "uint8s";
    case wire::Tensor::kUint32S:
      return "uint32s";
    case wire::Tensor::kUint64S:
      return "uint64s";
    case wire::Tensor::kBools:
      return "bools";
    case wire::Tensor::kStrings:
      return "strings";
    case wire::Tensor::kProtos:
      return "protos";
    case wire::Tensor::PAYLOAD_NOT_SET:
      return "no payload";
  }
  return "an unknown payload";
}

absl::StatusOr<std::string> SettingText(const std::string& name, const wire::Tensor& tensor) {
  for (const int32_t extent : tensor.shape()) {
    if (extent != 1 && extent != -1) {
      return absl::InvalidArgumentError(
          absl::StrCat("setting '", name, "' is an array: give a scalar"));
    }
  }
  if (PayloadElements(tensor) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("setting '", name, "' has ",
                                                   PayloadElements(tensor), " elements of ",
                                                   PayloadName(tensor), ": give a scalar"));
  }
  absl::StatusOr<std::string> text = ElementText(name, tensor);
  if (!text.ok()) return text;
  if (text->size() > kSettingBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("setting '", name, "' has ", text->size(),
                                                   " bytes: at most ", kSettingBytesMax,
                                                   " are taken"));
  }
  for (const unsigned char c : *text) {
    if (c < 0x20 || c == 0x7f) {
      return absl::InvalidArgumentError(absl::StrCat(
          "setting '", name, "' holds a line break or another control character: leave it out"));
    }
  }
  return text;
}

absl::StatusOr<Settings> SettingsOf(const SettingsMap& map) {
  if (map.size() > kSettingsMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the request has ", map.size(), " settings: at most ", kSettingsMax, " are taken"));
  }
  Settings settings;
  for (const auto& [name, tensor] : map) {
    absl::Status status = CheckSettingName(name);
    if (!status.ok()) return status;
    absl::StatusOr<std::string> text = SettingText(name, tensor);
    if (!text.ok()) return text.status();
    settings[name] = *std::move(text);
  }
  return settings;
}

wire::Tensor TextTensor(const std::string& text) {
  wire::Tensor tensor;
  tensor.mutable_strings()->add_array(text);
  return tensor;
}

void SetError(const absl::Status& status, wire::EnvironmentResponse* response) {
  google::rpc::Status* error = response->mutable_error();
  error->set_code(static_cast<int>(status.code()));
  error->set_message(std::string(status.message()));
}

void QuietParsing() { google::protobuf::SetLogHandler(nullptr); }

absl::Status ErrorOf(const wire::EnvironmentResponse& response) {
  if (response.payload_case() != wire::EnvironmentResponse::kError) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(response.error().code()),
                      response.error().message());
}

}  // namespace midlane::rpc
