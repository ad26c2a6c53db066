#include "bridge/channel_host.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"

namespace midlane {
namespace {

absl::Status NoMemory(absl::string_view what) {
  const int error = errno;
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot ", what, " a channel (", strerror(error),
                   "): raise the limit of open files (ulimit -n) or free memory"));
}

// Text that another process wrote: ends at a NUL or the buffer, control characters become spaces.
std::string SafeText(const char* text, size_t bytes) {
  std::string result(text, strnlen(text, bytes));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = ' ';
  }
  return result;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChannelHost>> ChannelHost::Create(absl::string_view description,
                                                                 absl::string_view settings,
                                                                 const ChannelOptions& options) {
  for (absl::string_view text : {description, settings}) {
    if (text.size() <= MIDLANE_TEXT_BYTES_MAX) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "a channel text has ", text.size(), " bytes: shorten it to ", MIDLANE_TEXT_BYTES_MAX));
  }
  if (options.slots < 1 || options.slots > MIDLANE_AGENTS_MAX ||
      options.observation_bytes > MIDLANE_OBSERVATION_BYTES_MAX) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a channel of ", options.slots, " slots with ", options.observation_bytes,
        " bytes each: use at most ", MIDLANE_AGENTS_MAX, " and ", MIDLANE_OBSERVATION_BYTES_MAX));
  }
  midlane_channel header{};
  header.magic = MIDLANE_CHANNEL_MAGIC;
  header.abi = MIDLANE_CHANNEL_ABI;
  header.header_bytes = sizeof(midlane_channel);
  header.description_offset = midlane_align(sizeof(midlane_channel));
  header.description_bytes = static_cast<uint32_t>(description.size());
  header.settings_offset = midlane_align(header.description_offset + header.description_bytes);
  header.settings_capacity = MIDLANE_TEXT_BYTES_MAX;
  header.spec_offset = midlane_align(header.settings_offset + header.settings_capacity);
  header.slots_offset =
      midlane_align(header.spec_offset + static_cast<uint32_t>(sizeof(midlane_spec)));
  header.slot_capacity = midlane_slot_header_bytes() + midlane_align(options.observation_bytes);
  header.slots = options.slots;
  header.total_bytes = header.slots_offset + uint64_t{header.slots} * header.slot_capacity;

  const int fd = memfd_create("midlane-channel", MFD_CLOEXEC);
  if (fd < 0) return NoMemory("create");
  if (ftruncate(fd, static_cast<off_t>(header.total_bytes)) != 0) {
    const absl::Status status = NoMemory("size");
    close(fd);
    return status;
  }
  void* memory = mmap(nullptr, header.total_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    const absl::Status status = NoMemory("map");
    close(fd);
    return status;
  }
  auto* channel = new (memory) midlane_channel{};
  channel->magic = header.magic;
  channel->abi = header.abi;
  channel->header_bytes = header.header_bytes;
  channel->total_bytes = header.total_bytes;
  channel->description_offset = header.description_offset;
  channel->description_bytes = header.description_bytes;
  channel->settings_offset = header.settings_offset;
  channel->settings_capacity = header.settings_capacity;
  channel->spec_offset = header.spec_offset;
  channel->slots_offset = header.slots_offset;
  channel->slot_capacity = header.slot_capacity;
  channel->slots = header.slots;
  channel->host_pid = static_cast<uint32_t>(getpid());
  channel->wait_limit_ms = static_cast<uint32_t>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(options.wait_limit), 1, UINT32_MAX));
  channel->spin = options.spin;
  auto* bytes = static_cast<unsigned char*>(memory);
  std::memcpy(bytes + header.description_offset, description.data(), description.size());
  std::memcpy(bytes + header.settings_offset, settings.data(), settings.size());
  channel->settings_bytes = static_cast<uint32_t>(settings.size());
  channel->settings_seq.store(1, std::memory_order_release);
  return std::unique_ptr<ChannelHost>(new ChannelHost(fd, bytes, header));
}

ChannelHost::ChannelHost(int fd, unsigned char* memory, const midlane_channel& header)
    : fd_(fd),
      channel_(reinterpret_cast<midlane_channel*>(memory)),
      slots_(memory + header.slots_offset),
      total_bytes_(header.total_bytes),
      slot_capacity_(header.slot_capacity),
      settings_offset_(header.settings_offset),
      settings_capacity_(header.settings_capacity),
      spec_offset_(header.spec_offset),
      slot_count_(header.slots) {}

ChannelHost::~ChannelHost() {
  munmap(channel_, total_bytes_);
  close(fd_);
}

absl::Status ChannelHost::SetSettings(absl::string_view settings) {
  if (settings.size() > settings_capacity_) {
    return absl::InvalidArgumentError(absl::StrCat("the settings have ", settings.size(),
                                                   " bytes: shorten them to ", settings_capacity_));
  }
  std::memcpy(reinterpret_cast<unsigned char*>(channel_) + settings_offset_, settings.data(),
              settings.size());
  channel_->settings_bytes = static_cast<uint32_t>(settings.size());
  channel_->settings_seq.fetch_add(1, std::memory_order_release);
  return absl::OkStatus();
}

void ChannelHost::RequestClose() {
  channel_->wants_close.store(1, std::memory_order_seq_cst);
  if (posted()) Answer(MIDLANE_COMMAND_CLOSE);
}

absl::StatusOr<Spec> ChannelHost::ReadSpec() const {
  auto raw = std::make_unique<midlane_spec>();
  std::memcpy(raw.get(), reinterpret_cast<const unsigned char*>(channel_) + spec_offset_,
              sizeof(*raw));
  absl::StatusOr<Spec> spec = ParseSpec(*raw);
  if (!spec.ok()) return spec.status();
  const uint32_t capacity = slot_capacity_ - midlane_slot_header_bytes();
  if (spec->agents.size() > slot_count_ || spec->observation_bytes > capacity) {
    return absl::InvalidArgumentError(absl::StrCat(
        "spec: ", spec->agents.size(), " agents with observations of ", spec->observation_bytes,
        " bytes do not fit the channel's ", slot_count_, " slots of ", capacity, ": declare less"));
  }
  return spec;
}

std::string ChannelHost::Error() const {
  std::string error = SafeText(channel_->error, sizeof(channel_->error));
  return error.empty() ? "the adapter failed and gave no reason" : error;
}

Announcement ChannelHost::ReadAnnouncement() const {
  const midlane_announcement& raw = channel_->announcement;
  Announcement found;
  found.dialect = SafeText(raw.dialect, sizeof(raw.dialect));
  found.linkage = SafeText(raw.linkage, sizeof(raw.linkage));
  found.library = SafeText(raw.library, sizeof(raw.library));
  found.executable = SafeText(raw.executable, sizeof(raw.executable));
  found.states = raw.states.load(std::memory_order_relaxed);
  found.chunks = raw.chunks.load(std::memory_order_relaxed);
  found.calls = raw.calls.load(std::memory_order_relaxed);
  return found;
}

}  // namespace midlane
