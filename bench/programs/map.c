/*
 * Maps 4 KiB, reads a byte and unmaps, so many times a turn: the floor that the kernel sets.
 *
 *   map descriptor|path FILE COUNT
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int by_path = strcmp(argv[1], "path") == 0;
  int fd = open(argv[2], O_RDONLY);
  if (fd < 0) return 1;
  puts("{\"ready\":true}");
  fflush(stdout);
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    int count = atoi(argv[3]);
    if (line[0] == 'c' && count > 1000) count = 1000;
    long sum = 0;
    double start = now();
    for (int i = 0; i < count; i++) {
      int file = by_path ? open(argv[2], O_RDONLY) : fd;
      volatile unsigned char *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
      if (at == MAP_FAILED) return 1;
      sum += at[0];
      munmap((void *)at, 4096);
      if (by_path) close(file);
    }
    printf("{\"result\":%ld,\"figures\":{\"ns\":%f}}\n", sum, (now() - start) / count);
    fflush(stdout);
  }
  return 0;
}
