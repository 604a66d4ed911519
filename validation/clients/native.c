/* The native engine from C and C++: cc -DNAME=rt4ksr_x2_fp32 native.c engine.so; ./a.out INPUT OUTPUT HEIGHT WIDTH
 * SAMPLES_IN SAMPLES_OUT, raw values; SAMPLES_*: bytes of a frame. */
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"

#define JOIN(a, b) a##_##b
#define CALL(name, function) JOIN(name, function)

int main(int count, char** arguments) {
  if (count != 7) return 2;
  size_t in_bytes = (size_t)atol(arguments[5]), out_bytes = (size_t)atol(arguments[6]);
  char *input = (char*)malloc(in_bytes), *output = (char*)malloc(out_bytes);
  FILE* file = fopen(arguments[1], "rb");
  if (!input || !output || !file || fread(input, 1, in_bytes, file) != in_bytes) return 2;
  fclose(file);
  CALL(NAME, engine) * engine;
  int code = CALL(NAME, create)(&engine, atoi(arguments[3]), atoi(arguments[4]), 1);
  if (code) return fprintf(stderr, "the engine refuses the size: code %d\n", code), 1;
  code = CALL(NAME, run)(engine, input, output);
  CALL(NAME, destroy)(engine);
  file = fopen(arguments[2], "wb");
  if (code || !file || fwrite(output, 1, out_bytes, file) != out_bytes) return 2;
  return fclose(file) ? 2 : 0;
}
