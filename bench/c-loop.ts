/** The loops of the benchmark once more in C: the floor that the kernel sets. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Candidate } from './harness'

const SOURCE = `
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
  int by_path = argv[1][0] == 'p', count = atoi(argv[3]), sum = 0;
  int fd = open(argv[2], O_RDONLY);
  double start = now();
  for (int i = 0; i < count; i++) {
    int file = by_path ? open(argv[2], O_RDONLY) : fd;
    volatile unsigned char *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    sum += at[0];
    munmap((void *)at, 4096);
    if (by_path) close(file);
  }
  printf("%f %d", (now() - start) / count, sum);
  return argc != 4;
}
`

/** Compiles the loops; `undefined` without a C compiler. */
export function compileLoops(
  folder: string,
  file: string,
): ((name: string, what: 'fd' | 'path') => Candidate) | undefined {
  const source = join(folder, 'loop.c')
  const program = join(folder, 'loop')
  writeFileSync(source, SOURCE)
  try {
    execFileSync('cc', ['-O2', '-o', program, source])
  } catch {
    return undefined
  }
  const run = (what: string, count: number) =>
    execFileSync(program, [what, file, String(count)], { encoding: 'utf8' })
      .split(' ')
      .map(Number) as [number, number]
  return (name, what) => ({ name, run: (count) => run(what, count)[1], time: (count) => run(what, count)[0] })
}
