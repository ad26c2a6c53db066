#define _GNU_SOURCE
#include "preload/elf_symbols.h"

#include <elf.h>
#include <link.h>
#include <string.h>

typedef ElfW(Ehdr) header_type;
typedef ElfW(Shdr) section_type;
typedef ElfW(Sym) symbol_type;

static bool inside(uint64_t offset, uint64_t length, size_t bytes) {
  return offset <= bytes && length <= bytes - offset;
}

static bool read_header(const unsigned char* image, size_t bytes, header_type* header) {
  if (bytes < sizeof(*header)) return false;
  memcpy(header, image, sizeof(*header));
  return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
         header->e_ident[EI_CLASS] == (sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32) &&
         header->e_shentsize == sizeof(section_type) &&
         inside(header->e_shoff, (uint64_t)header->e_shnum * sizeof(section_type), bytes);
}

static section_type section_at(const unsigned char* image, const header_type* header,
                               uint32_t index) {
  section_type section;
  memcpy(&section, image + header->e_shoff + (uint64_t)index * sizeof(section), sizeof(section));
  return section;
}

static void visit_table(const unsigned char* image, size_t bytes, const section_type* symbols,
                        const section_type* names, midlane_symbol_visitor visit, void* data) {
  if (!inside(symbols->sh_offset, symbols->sh_size, bytes) ||
      !inside(names->sh_offset, names->sh_size, bytes) || names->sh_size == 0 ||
      image[names->sh_offset + names->sh_size - 1] != '\0') {
    return;
  }
  for (uint64_t at = 0; at + sizeof(symbol_type) <= symbols->sh_size; at += sizeof(symbol_type)) {
    symbol_type symbol;
    memcpy(&symbol, image + symbols->sh_offset + at, sizeof(symbol));
    if ((symbol.st_info & 0xF) != STT_FUNC || symbol.st_shndx == SHN_UNDEF ||
        symbol.st_name >= names->sh_size) {
      continue;
    }
    visit((const char*)image + names->sh_offset + symbol.st_name, symbol.st_value, symbol.st_size,
          data);
  }
}

bool midlane_elf_visit(const unsigned char* image, size_t bytes, midlane_symbol_visitor visit,
                       void* data) {
  header_type header;
  if (!read_header(image, bytes, &header)) return false;
  for (uint32_t i = 0; i < header.e_shnum; i++) {
    section_type section = section_at(image, &header, i);
    if (section.sh_type != SHT_SYMTAB && section.sh_type != SHT_DYNSYM) continue;
    if (section.sh_link >= header.e_shnum) continue;
    section_type names = section_at(image, &header, section.sh_link);
    visit_table(image, bytes, &section, &names, visit, data);
  }
  return true;
}

bool midlane_elf_mentions(const unsigned char* image, size_t bytes, const char* text) {
  header_type header;
  if (!read_header(image, bytes, &header)) return false;
  for (uint32_t i = 0; i < header.e_shnum; i++) {
    section_type section = section_at(image, &header, i);
    bool constant = section.sh_type == SHT_PROGBITS && (section.sh_flags & SHF_ALLOC) != 0 &&
                    (section.sh_flags & (SHF_WRITE | SHF_EXECINSTR)) == 0;
    if (!constant || !inside(section.sh_offset, section.sh_size, bytes)) continue;
    if (memmem(image + section.sh_offset, section.sh_size, text, strlen(text))) return true;
  }
  return false;
}
