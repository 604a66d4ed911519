/* Upscales a picture with @NAME@, without Python:
 *
 *   cc -O2 example.c ./engine.so -o upscale -Wl,-rpath,'$ORIGIN' && ./upscale small.@SUFFIX@ large.@SUFFIX@
 *
 * Reads and writes binary @FORMAT@ (@MAGIC@, 8 bits per sample), which `ffmpeg`, `magick` and `pnmtopng` understand. */
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"

#define CHANNELS @CHANNELS@
#define INTERLEAVED_IN @INTERLEAVED_IN@
#define INTERLEAVED_OUT @INTERLEAVED_OUT@
typedef @IN_C@ in_sample;
typedef @OUT_C@ out_sample;

static int fail(const char* what, const char* where) {
  fprintf(stderr, "%s: %s\n", where, what);
  return 1;
}

/* A number of the header; comments begin with # and end with the line. */
static int read_number(FILE* file) {
  int c = fgetc(file), value = 0;
  while (c == '#' || c == ' ' || c == '\t' || c == '\n' || c == '\r') {
    if (c == '#')
      while (c != '\n' && c != EOF) c = fgetc(file);
    c = fgetc(file);
  }
  if (c < '0' || c > '9') return -1;
  for (; c >= '0' && c <= '9' && value < 1 << 20; c = fgetc(file)) value = 10 * value + c - '0';
  return value;
}

static unsigned char* read_picture(const char* path, int* height, int* width) {
  FILE* file = fopen(path, "rb");
  unsigned char* pixels = NULL;
  if (file == NULL) return NULL;
  if (fgetc(file) == 'P' && fgetc(file) == '@MAGIC_DIGIT@') {
    *width = read_number(file);
    *height = read_number(file);
    if (*width > 0 && *height > 0 && read_number(file) == 255) {
      size_t size = (size_t)*height * *width * CHANNELS;
      pixels = malloc(size);
      if (pixels != NULL && fread(pixels, 1, size, file) != size) {
        free(pixels);
        pixels = NULL;
      }
    }
  }
  fclose(file);
  return pixels;
}

static int write_picture(const char* path, const unsigned char* pixels, int height, int width) {
  size_t size = (size_t)height * width * CHANNELS;
  FILE* file = fopen(path, "wb");
  int whole;
  if (file == NULL) return 0;
  whole = fprintf(file, "@MAGIC@\n%d %d\n255\n", width, height) > 0 && fwrite(pixels, 1, size, file) == size;
  return fclose(file) == 0 && whole;
}

/* Where sample `colour` of pixel `i` lies in a frame of `count` pixels. */
static size_t place(int interleaved, size_t i, int colour, size_t count) {
  return interleaved ? CHANNELS * i + colour : count * colour + i;
}

/* Samples are converted as the toolkit converts them, to the same bytes: in float, with every step rounded, for which
 * the variables are volatile. */

/* The nearest integer of a value from 0 to 255; of two, the even one. */
static unsigned char nearest(float value) {
  int whole = (int)value;
  float rest = value - whole;
  return (unsigned char)(whole + (rest > 0.5f || (rest == 0.5f && whole % 2 == 1)));
}

/* A byte as a sample of the input. */
static in_sample to_sample(unsigned char byte) {
  volatile float value = (float)byte @IN_STEP@;
  value = value + (float)@IN_BLACK@;
  return (in_sample)(sizeof(in_sample) == 1 ? nearest(value) : value);
}

/* A sample of the result as a byte. */
static unsigned char to_byte(out_sample sample) {
  const float black = (float)@OUT_BLACK@, white = (float)@OUT_WHITE@;
  volatile float value = sample > white ? white : sample > black ? sample : black;
  value = (value - black) @OUT_STEP@;
  return nearest(value);
}

static out_sample* upscale(const unsigned char* pixels, int height, int width) {
  size_t count = (size_t)height * width, i;
  in_sample* input = malloc(CHANNELS * count * sizeof(in_sample));
  out_sample* output = malloc(CHANNELS * count * @SYMBOL_UPPER@_SCALE * @SYMBOL_UPPER@_SCALE * sizeof(out_sample));
  @SYMBOL@_engine* engine = NULL;
  int colour, code = @SYMBOL@_no_memory;
  if (input != NULL && output != NULL) {
    for (i = 0; i < count; ++i)
      for (colour = 0; colour < CHANNELS; ++colour)
        input[place(INTERLEAVED_IN, i, @IN_COLOUR@, count)] = to_sample(pixels[CHANNELS * i + colour]);
    code = @SYMBOL@_create(&engine, height, width, 0);
    if (code == @SYMBOL@_ok) code = @SYMBOL@_run(engine, input, output);
    @SYMBOL@_destroy(engine);
  }
  free(input);
  if (code == @SYMBOL@_ok) return output;
  fprintf(stderr, "height %d, width %d: %s\n", height, width, @SYMBOL@_error(code));
  free(output);
  return NULL;
}

int main(int argc, char** argv) {
  int height, width, colour;
  size_t count, i;
  unsigned char *pixels, *result;
  out_sample* output;
  if (argc != 3) return fail("name a @FORMAT@ file to read and one to write", argv[0]);
  pixels = read_picture(argv[1], &height, &width);
  if (pixels == NULL) return fail("cannot be read, or is no 8-bit @MAGIC@ @FORMAT@", argv[1]);
  output = upscale(pixels, height, width);
  free(pixels);
  if (output == NULL) return 1;
  height *= @SYMBOL_UPPER@_SCALE;
  width *= @SYMBOL_UPPER@_SCALE;
  count = (size_t)height * width;
  result = malloc(CHANNELS * count);
  if (result == NULL) return fail("there is not enough memory", argv[2]);
  for (i = 0; i < count; ++i)
    for (colour = 0; colour < CHANNELS; ++colour)
      result[CHANNELS * i + colour] = to_byte(output[place(INTERLEAVED_OUT, i, @OUT_COLOUR@, count)]);
  free(output);
  if (!write_picture(argv[2], result, height, width)) return fail("cannot be written", argv[2]);
  free(result);
  return 0;
}
