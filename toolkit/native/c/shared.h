// What the C functions of an engine, and of the library that chooses an engine, have in common.

// The exported names contain the artifact's name, which comes from a file. They are assembler labels only, so that they
// cannot collide with names of this program or of the C library (an artifact "timer" would define timer_create).
#define EXPORTED(result, function, parameters)                                                              \
  extern "C" __attribute__((visibility("default"))) result function parameters __asm__("@SYMBOL@_" #function); \
  result function parameters

// Texts that they return.
static const char* version_text(void) { return "@VERSION@"; }

static const char* error_text(int code) {
  switch (code) {
    case 0: return "no error";
    case 1: return "@SIZES@";
    case 2: return "a pointer is null, the number of threads is negative, or @VIDEO_TEXT@";
    case 3: return "there is not enough memory, or a thread could not be created";
    case 4: return "this CPU lacks instructions that the engine was compiled for: @TARGET@";
    case 5: return "no engine for this CPU can be loaded from the directory of engine.so; it looks for @FILES@";
    default: return "not a code of this engine";
  }
}
