// Descriptor: owns a file descriptor, closed when it goes. A value that cannot be copied.
#ifndef MIDLANE_BRIDGE_DESCRIPTOR_H_
#define MIDLANE_BRIDGE_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace midlane {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() { reset(-1); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }  // -1: none
  // The caller's from now on.
  int release() { return std::exchange(fd_, -1); }
  // Closes what it had and takes `fd`.
  void reset(int fd) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

}  // namespace midlane

#endif  // MIDLANE_BRIDGE_DESCRIPTOR_H_
