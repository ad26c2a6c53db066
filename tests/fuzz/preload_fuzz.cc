// What the shim reads from outside: the channel's header, the description's lines, the executable's
// symbol table. Any bytes are taken or refused in a sentence, and nothing is read past their end.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "preload/description.h"
#include "preload/elf_symbols.h"
#include "preload/exchange.h"
#include "tests/fuzz/fuzz.h"

namespace {

void Require(bool holds) {
  if (!holds) abort();
}

void FuzzDescription(const uint8_t* data, size_t size) {
  auto description = std::make_unique<midlane_description>();
  char error[256] = "";
  if (midlane_description_parse(reinterpret_cast<const char*>(data), size, description.get(), error,
                                sizeof(error))) {
    Require(description->skips <= MIDLANE_SKIP_MAX);
    Require(description->clock_speed >= 0);
    midlane_description_keys(description.get(), "start");
  } else {
    Require(error[0] != '\0');
  }
}

void FuzzHeader(const uint8_t* data, size_t size) {
  alignas(64) static unsigned char memory[sizeof(midlane_channel)];
  memset(memory, 0, sizeof(memory));
  memcpy(memory, data, size < sizeof(memory) ? size : sizeof(memory));
  const auto* channel = reinterpret_cast<const midlane_channel*>(memory);
  const uint64_t file_bytes = 1 << 20;
  char error[256] = "";
  if (!midlane_exchange_check_header(channel, file_bytes, error, sizeof(error))) {
    Require(error[0] != '\0');
    return;
  }
  Require(uint64_t{channel->description_offset} + channel->description_bytes <= file_bytes);
  Require(uint64_t{channel->settings_offset} + channel->settings_capacity <= file_bytes);
  Require(uint64_t{channel->spec_offset} + sizeof(midlane_spec) <= file_bytes);
  Require(channel->slots_offset + uint64_t{channel->slots} * channel->slot_capacity <= file_bytes);
}

void FuzzElf(const uint8_t* data, size_t size) {
  // A copy of its own size, so that a sanitizer sees every read past the end.
  std::vector<unsigned char> image(data, data + size);
  size_t length = 0;
  midlane_elf_visit(
      image.data(), image.size(),
      [](const char* name, uint64_t, uint64_t, void* sum) {
        *static_cast<size_t*>(sum) += strlen(name);
      },
      &length);
  midlane_elf_mentions(image.data(), image.size(), "Lua");
}

std::string HeaderSeed() {
  alignas(64) unsigned char memory[sizeof(midlane_channel)] = {};
  auto* channel = reinterpret_cast<midlane_channel*>(memory);
  channel->magic = MIDLANE_CHANNEL_MAGIC;
  channel->abi = MIDLANE_CHANNEL_ABI;
  channel->header_bytes = sizeof(midlane_channel);
  channel->total_bytes = 1 << 20;
  channel->description_offset = 4096;
  channel->settings_offset = 8192;
  channel->settings_capacity = 4096;
  channel->spec_offset = 16384;
  channel->slots_offset = 65536;
  channel->slot_capacity = 4096;
  channel->slots = 2;
  return "h" + std::string(reinterpret_cast<const char*>(memory), sizeof(memory));
}

std::string ElfSeed() {
  // A header, a string table and a symbol table: the least that has a function.
  const size_t kNames = 64, kSymbols = 80, kSections = 128;
  std::string image(kSections + 3 * 64, '\0');
  const unsigned char header[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
  memcpy(image.data(), header, sizeof(header));
  auto put = [&](size_t at, uint64_t value, size_t bytes) { memcpy(&image[at], &value, bytes); };
  put(40, kSections, 8);  // e_shoff
  put(58, 64, 2);         // e_shentsize
  put(60, 3, 2);          // e_shnum
  memcpy(&image[kNames], "\0lua_load", 10);
  put(kSymbols, 1, 4);          // st_name
  put(kSymbols + 4, 0x12, 1);   // global function
  put(kSymbols + 6, 1, 2);      // st_shndx
  put(kSymbols + 8, 0x400, 8);  // st_value
  auto section = [&](size_t index, uint32_t type, uint64_t offset, uint64_t bytes, uint32_t link) {
    size_t at = kSections + index * 64;
    put(at + 4, type, 4);
    put(at + 24, offset, 8);
    put(at + 32, bytes, 8);
    put(at + 40, link, 4);
  };
  section(1, 3, kNames, 10, 0);    // SHT_STRTAB
  section(2, 2, kSymbols, 24, 1);  // SHT_SYMTAB
  return "e" + image;
}

}  // namespace

namespace midlane {

std::vector<std::string> FuzzSeeds() {
  return {
      "dexecutable=blobby\nadapter=/a/b.lua\nfallback=play\nclock=virtual\nclock_speed=2.5\n"
      "clock_step_us=3\nseed=7\nskip=SDL_RenderCopy\nkeys.start=Down,Return\ngap_polls=2\n",
      HeaderSeed(), ElfSeed()};
}

}  // namespace midlane

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  switch (data[0]) {
    case 'd':
      FuzzDescription(data + 1, size - 1);
      break;
    case 'h':
      FuzzHeader(data + 1, size - 1);
      break;
    default:
      FuzzElf(data + 1, size - 1);
      break;
  }
  return 0;
}
