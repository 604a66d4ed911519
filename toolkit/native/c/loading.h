/* What a program must know of an engine that it loads while it runs, with dlopen, instead of being linked with it:
 *
 *   rt4ksr_describe_function describe = (rt4ksr_describe_function)dlsym(dlopen(path, RTLD_NOW), RT4KSR_DESCRIBE);
 *
 * The name is the same in all engines. Functions are those of `engine.h`, which explains them.
 */
#ifndef RT4KSR_LOADING_H
#define RT4KSR_LOADING_H

#define RT4KSR_DESCRIBE "rt4ksr_describe"
#define RT4KSR_DESCRIPTION 1 /* version of the structure; later ones begin with the same members */

/* How frames hold a picture. */
typedef struct rt4ksr_port {
  int channels;    /* 3, or 1 for luma */
  int bytes;       /* per sample: 1 for uint8, 4 for float32 */
  int interleaved; /* NHWC instead of NCHW */
  int reversed;    /* blue, green, red */
  double black;    /* the value of black */
  double span;     /* white - black */
} rt4ksr_port;

typedef struct rt4ksr_description {
  int version;
  int scale;
  int multiple;                  /* heights and widths are multiples of this many pixels */
  int smallest;                  /* and at least this many */
  int fixed_height, fixed_width; /* the only size; 0: any */
  rt4ksr_port input, output;
  int (*create)(void** engine, int height, int width, int threads);
  void (*destroy)(void* engine);
  int (*run)(void* engine, const void* input, void* output);
  int (*run_rows)(void* engine, const void* input, void* output, int first, int count);
} rt4ksr_description;

typedef const rt4ksr_description* (*rt4ksr_describe_function)(void);

#endif
