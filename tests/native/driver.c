/* Runs an engine on a frame read from a file, in several ways that must give the same bits, and writes the result.
   driver HEIGHT WIDTH IN_BYTES OUT_BYTES INPUT OUTPUT, bytes being those of whole frames. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define JOINED(a, b) a##_##b
#define JOIN(a, b) JOINED(a, b)
#define CALL(name) JOIN(SYMBOL, name)

static void check(int held, const char* what) {
  if (held) return;
  fprintf(stderr, "%s\n", what);
  exit(1);
}

int main(int argc, char** argv) {
  check(argc == 7, "six arguments");
  int height = atoi(argv[1]), width = atoi(argv[2]);
  size_t in_bytes = (size_t)atol(argv[3]), out_bytes = (size_t)atol(argv[4]);
  char *input = (char*)malloc(in_bytes), *first = (char*)malloc(out_bytes), *other = (char*)malloc(out_bytes);
  FILE* file = fopen(argv[5], "rb");
  check(file && fread(input, 1, in_bytes, file) == in_bytes, "input");
  fclose(file);
  for (int threads = 1; threads <= 3; ++threads) {
    CALL(engine)* engine = NULL;
    check(CALL(create)(&engine, height, width, threads) == CALL(ok), "create");
    memset(other, 1, out_bytes);
    check(CALL(run)(engine, input, other) == CALL(ok), "run");
    if (threads == 1) memcpy(first, other, out_bytes);
    check(memcmp(first, other, out_bytes) == 0, "threads change bits");
    check(CALL(run)(engine, input, other) == CALL(ok), "run again");
    check(memcmp(first, other, out_bytes) == 0, "running again changes bits");
    memset(other, 1, out_bytes);
    int step = 2 * UNIT;
    for (int row = 0; row < height; row += step)
      check(CALL(run_rows)(engine, input, other, row, row + step < height ? step : height - row) == CALL(ok), "rows");
    check(memcmp(first, other, out_bytes) == 0, "bands change bits");
    CALL(destroy)(engine);
  }
  file = fopen(argv[6], "wb");
  check(file && fwrite(first, 1, out_bytes, file) == out_bytes && fclose(file) == 0, "output");
  free(input), free(first), free(other);
  return 0;
}
