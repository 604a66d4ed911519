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

/* A frame in 4:2:0 with planes one after the other, of even height and width. */
static rt4ksr_yuv420 planes(char* memory, int height, int width) {
  rt4ksr_yuv420 frame = {memory, memory + height * width, memory + height * width / 4 * 5, width, width / 2,
                         1, 8, 1, 0, 0};
  return frame;
}

/* Video in several ways that must give the same bits. Every frame of RGB has enough bytes for one of video. */
static void run_video(char* input, size_t out_bytes, int height, int width) {
  char *first = (char*)calloc(1, out_bytes), *other = (char*)calloc(1, out_bytes);
  rt4ksr_yuv420 given = planes(input, height, width), made = planes(other, height * SCALE, width * SCALE);
  for (int threads = 1; threads <= 3; ++threads) {
    CALL(engine)* engine = NULL;
    check(CALL(create)(&engine, height, width, threads) == CALL(ok), "create");
    int code = CALL(run_yuv420)(engine, &given, &made, 0, height);
    check(code == (CHANNELS == 3 ? CALL(ok) : CALL(bad_argument)), "video");
    if (threads == 1) memcpy(first, other, out_bytes);
    check(memcmp(first, other, out_bytes) == 0, "threads change bits of video");
    memset(other, 0, out_bytes);
    int step = UNIT % 2 ? 2 * UNIT : UNIT;
    for (int row = 0; CHANNELS == 3 && row < height; row += step)
      check(CALL(run_yuv420)(engine, &given, &made, row, step) == CALL(ok), "rows of video");
    check(memcmp(first, other, out_bytes) == 0, "rows change bits of video");
    CALL(destroy)(engine);
  }
  free(first), free(other);
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
  if (height % 2 == 0 && width % 2 == 0) run_video(input, out_bytes, height, width);
  file = fopen(argv[6], "wb");
  check(file && fwrite(first, 1, out_bytes, file) == out_bytes && fclose(file) == 0, "output");
  free(input), free(first), free(other);
  return 0;
}
