#define _GNU_SOURCE
#include "preload/executable.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// The first object is the program itself.
static int first_bias(struct dl_phdr_info* info, size_t size, void* data) {
  (void)size;
  *(uint64_t*)data = info->dlpi_addr;
  return 1;
}

bool midlane_executable_map(struct midlane_executable* executable) {
  struct stat file;
  void* image = MAP_FAILED;
  ssize_t length = readlink("/proc/self/exe", executable->path, sizeof(executable->path) - 1);
  executable->path[length > 0 ? length : 0] = '\0';
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  if (fstat(fd, &file) == 0 && file.st_size > 0) {
    image = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  }
  close(fd);
  if (image == MAP_FAILED) return false;
  executable->image = image;
  executable->bytes = (size_t)file.st_size;
  dl_iterate_phdr(first_bias, &executable->bias);
  return true;
}

void midlane_executable_unmap(struct midlane_executable* executable) {
  munmap((void*)executable->image, executable->bytes);
  executable->image = NULL;
}
