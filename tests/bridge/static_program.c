// Waits: a program without a loader, for preload_run_test.
#include <unistd.h>

int main(void) {
  sleep(30);
  return 0;
}
