// Bytes in and out of gRPC's buffers.
#ifndef MIDLANE_BRIDGE_RPC_BUFFERS_H_
#define MIDLANE_BRIDGE_RPC_BUFFERS_H_

#include <grpcpp/grpcpp.h>

#include <string>
#include <string_view>

#include "google/protobuf/message_lite.h"

namespace midlane::rpc {

// A buffer's bytes in one piece, valid as long as `slice` is kept.
inline std::string_view View(const grpc::ByteBuffer& buffer, grpc::Slice* slice) {
  if (!buffer.TrySingleSlice(slice).ok() && !buffer.DumpToSingleSlice(slice).ok()) {
    *slice = grpc::Slice();
  }
  return {reinterpret_cast<const char*>(slice->begin()), slice->size()};
}

inline grpc::ByteBuffer ToBuffer(const google::protobuf::MessageLite& message) {
  const size_t bytes = message.ByteSizeLong();
  grpc::Slice slice(bytes);
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

inline grpc::ByteBuffer ToBuffer(const std::string& text) {
  grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace midlane::rpc

#endif  // MIDLANE_BRIDGE_RPC_BUFFERS_H_
