// Stands for a drawing library: calls with more arguments than registers, and a result in xmm0.
#include <stdint.h>

static long drawn;
static long scaled;

long fake_drawn(void) { return drawn; }
long fake_scaled(void) { return scaled; }

long SDL_RenderCopyExF(long a, double b, long c, double d, long e, double f, long g, double h,
                       long i, double j, long k, double l, long m, double n, long o, double p,
                       double q) {
  drawn++;
  return (long)(a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j +
                11 * k + 12 * l + 13 * m + 14 * n + 15 * o + 16 * p + 17 * q);
}

int SDL_RenderPresent(void* renderer) {
  drawn++;
  return renderer ? 7 : 8;
}

float SDL_RenderSetScale(float x, float y) {
  scaled++;
  return x * 10 + y;
}
