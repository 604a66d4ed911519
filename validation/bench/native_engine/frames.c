/* Computes frames with an engine in this thread, for counting its instructions: frames ENGINE.so HEIGHT WIDTH COUNT */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "loading.h"

static size_t bytes(const rt4ksr_port* port, size_t pixels) { return pixels * port->channels * port->bytes; }

int main(int argc, char** argv) {
  void* library = argc == 5 ? dlopen(argv[1], RTLD_NOW) : NULL;
  rt4ksr_describe_function describe;
  const rt4ksr_description* engine;
  void *running, *input, *output;
  int height, width, count;
  size_t pixels;
  if (library == NULL) return fprintf(stderr, "%s\n", argc == 5 ? dlerror() : "four arguments"), 1;
  describe = (rt4ksr_describe_function)dlsym(library, RT4KSR_DESCRIBE);
  engine = describe == NULL ? NULL : describe();
  if (engine == NULL) return fprintf(stderr, "no engine for this CPU\n"), 1;
  height = atoi(argv[2]), width = atoi(argv[3]), count = atoi(argv[4]);
  pixels = (size_t)height * width;
  input = calloc(bytes(&engine->input, pixels), 1);
  output = malloc(bytes(&engine->output, pixels * engine->scale * engine->scale));
  if (input == NULL || output == NULL || engine->create(&running, height, width, 1) != 0)
    return fprintf(stderr, "the engine cannot start\n"), 1;
  for (; count > 0; --count)
    if (engine->run_rows(running, input, output, 0, height) != 0) return fprintf(stderr, "no frame\n"), 1;
  engine->destroy(running);
  return 0;
}
