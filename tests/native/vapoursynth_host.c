/* A program that uses VapourSynth's core as a library: a clip from a file, steps, and the frames of the result.
 *
 *   host LIBRARY PLUGIN CORE_THREADS FORMAT WIDTH HEIGHT FRAMES INPUT OUTPUT [NAME=INTEGER ...] [-- STEP ...]
 *
 * A step is NAMESPACE.FUNCTION followed by ;KEY=iINTEGER or ;KEY=sTEXT. Planes of INPUT and OUTPUT follow each other
 * without padding; names are properties of all frames. The format and properties of the result are printed. An error
 * ends the program with 1, and its message on standard error. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "VapourSynth4.h"

static const VSAPI* api;
static VSCore* core;

typedef struct {
  VSVideoInfo info;
  unsigned char* data;
  size_t frame_bytes;
  char** properties;
  int property_count;
} Source;

static void fail(const char* message) {
  fprintf(stderr, "%s\n", message ? message : "unknown error");
  exit(1);
}

static size_t plane_bytes(const VSVideoFormat* format, int width, int height, int plane, int* row, int* rows) {
  *row = (plane ? width >> format->subSamplingW : width) * format->bytesPerSample;
  *rows = plane ? height >> format->subSamplingH : height;
  return (size_t)*row * *rows;
}

static size_t frame_bytes(const VSVideoFormat* format, int width, int height) {
  size_t total = 0;
  int plane, row, rows;
  for (plane = 0; plane < format->numPlanes; ++plane) total += plane_bytes(format, width, height, plane, &row, &rows);
  return total;
}

static const VSFrame* VS_CC source_frame(int n, int reason, void* data, void** frame_data, VSFrameContext* context,
                                         VSCore* own_core, const VSAPI* own_api) {
  Source* source = data;
  const VSVideoFormat* format = &source->info.format;
  const unsigned char* from = source->data + n * source->frame_bytes;
  VSFrame* frame;
  int plane, y, row, rows, i;
  (void)frame_data, (void)context;
  if (reason != arInitial) return NULL;
  frame = own_api->newVideoFrame(format, source->info.width, source->info.height, NULL, own_core);
  for (plane = 0; plane < format->numPlanes; ++plane) {
    plane_bytes(format, source->info.width, source->info.height, plane, &row, &rows);
    for (y = 0; y < rows; ++y, from += row)
      memcpy(own_api->getWritePtr(frame, plane) + y * own_api->getStride(frame, plane), from, row);
  }
  for (i = 0; i < source->property_count; ++i) {
    char* equals = strchr(source->properties[i], '=');
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(equals - source->properties[i]), source->properties[i]);
    own_api->mapSetInt(own_api->getFramePropertiesRW(frame), name, atoll(equals + 1), maReplace);
  }
  return frame;
}

static VSNode* step(VSNode* node, char* text) {
  char *function, *part = strtok(text, ";");
  VSMap *arguments = api->createMap(), *returned;
  VSPlugin* plugin;
  function = strchr(part, '.');
  *function++ = 0;
  plugin = api->getPluginByNamespace(part, core);
  if (plugin == NULL) fail("there is no such plugin");
  if (node) api->mapConsumeNode(arguments, "clip", node, maReplace);
  while ((part = strtok(NULL, ";")) != NULL) {
    char* value = strchr(part, '=');
    *value++ = 0;
    if (*value == 'i')
      api->mapSetInt(arguments, part, atoll(value + 1), maReplace);
    else
      api->mapSetData(arguments, part, value + 1, -1, dtUtf8, maReplace);
  }
  returned = api->invoke(plugin, function, arguments);
  api->freeMap(arguments);
  if (api->mapGetError(returned)) fail(api->mapGetError(returned));
  node = api->mapNumElements(returned, "clip") > 0 ? api->mapGetNode(returned, "clip", 0, NULL) : NULL;
  api->freeMap(returned);
  return node;
}

static void write_frame(const VSFrame* frame, FILE* file) {
  const VSVideoFormat* format = api->getVideoFrameFormat(frame);
  int plane, y, row, rows;
  for (plane = 0; plane < format->numPlanes; ++plane) {
    plane_bytes(format, api->getFrameWidth(frame, 0), api->getFrameHeight(frame, 0), plane, &row, &rows);
    for (y = 0; y < rows; ++y)
      if (fwrite(api->getReadPtr(frame, plane) + y * api->getStride(frame, plane), 1, row, file) != (size_t)row)
        fail("the output cannot be written");
  }
}

typedef struct {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  const VSFrame** frames;
  int missing;
  char message[1024];
} Results;

static void VS_CC frame_done(void* data, const VSFrame* frame, int n, VSNode* node, const char* message) {
  Results* results = data;
  (void)node;
  pthread_mutex_lock(&results->mutex);
  results->frames[n] = frame;
  if (frame == NULL) snprintf(results->message, sizeof results->message, "%s", message);
  --results->missing;
  pthread_cond_signal(&results->changed);
  pthread_mutex_unlock(&results->mutex);
}

/* All frames, which the core's threads compute at the same time. */
static const VSFrame** all_frames(VSNode* node, int count) {
  static Results results = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0, ""};
  int n;
  results.frames = calloc(count, sizeof *results.frames);
  results.missing = count;
  for (n = 0; n < count; ++n) api->getFrameAsync(n, node, frame_done, &results);
  pthread_mutex_lock(&results.mutex);
  while (results.missing > 0) pthread_cond_wait(&results.changed, &results.mutex);
  pthread_mutex_unlock(&results.mutex);
  if (*results.message) fail(results.message);
  return results.frames;
}

static void print_properties(const VSFrame* frame) {
  const VSMap* map = api->getFramePropertiesRO(frame);
  int i;
  for (i = 0; i < api->mapNumKeys(map); ++i)
    if (api->mapGetType(map, api->mapGetKey(map, i)) == ptInt)
      printf("%s=%lld\n", api->mapGetKey(map, i), (long long)api->mapGetInt(map, api->mapGetKey(map, i), 0, NULL));
}

static VSNode* read_source(Source* source, char** arguments) {
  FILE* file = fopen(arguments[4], "rb");
  if (!api->getVideoFormatByID(&source->info.format, (unsigned)strtoul(arguments[0], NULL, 10), core))
    fail("there is no such format");
  source->info.width = atoi(arguments[1]);
  source->info.height = atoi(arguments[2]);
  source->info.numFrames = atoi(arguments[3]);
  source->info.fpsNum = 24, source->info.fpsDen = 1;
  source->frame_bytes = frame_bytes(&source->info.format, source->info.width, source->info.height);
  source->data = malloc(source->frame_bytes * source->info.numFrames);
  if (file == NULL || fread(source->data, source->frame_bytes, source->info.numFrames, file) !=
                          (size_t)source->info.numFrames)
    fail("the input cannot be read");
  fclose(file);
  return api->createVideoFilter2("Source", &source->info, source_frame, NULL, fmParallel, NULL, 0, source, core);
}

int main(int argc, char** argv) {
  Source source = {0};
  VSNode* node;
  const VSVideoInfo* info;
  const VSAPI* (*get)(int);
  const VSFrame** frames;
  char name[32] = "", load[4096];
  FILE* file;
  int i, n;
  void* library = argc > 9 ? dlopen(argv[1], RTLD_NOW) : NULL;
  if (library == NULL) fail(argc > 9 ? dlerror() : "nine arguments");
  *(void**)&get = dlsym(library, "getVapourSynthAPI");
  api = get(VAPOURSYNTH_API_VERSION);
  core = api->createCore(ccfDisableAutoLoading);
  api->setThreadCount(atoi(argv[3]), core);
  snprintf(load, sizeof load, "std.LoadPlugin;path=s%s", argv[2]);
  step(NULL, load);
  for (i = 10; i < argc && strcmp(argv[i], "--") != 0; ++i) ++source.property_count;
  source.properties = argv + 10;
  node = read_source(&source, argv + 4);
  for (++i; i < argc; ++i) node = step(node, argv[i]);
  info = api->getVideoInfo(node);
  api->getVideoFormatName(&info->format, name);
  printf("%s %d %d %d\n", name, info->width, info->height, info->numFrames);
  file = fopen(argv[9], "wb");
  if (file == NULL) fail("the output cannot be written");
  frames = all_frames(node, info->numFrames);
  print_properties(frames[0]);
  for (n = 0; n < info->numFrames; ++n) {
    write_frame(frames[n], file);
    api->freeFrame(frames[n]);
  }
  api->freeNode(node);
  api->freeCore(core);
  free(frames);
  free(source.data);
  return fclose(file) == 0 ? 0 : 1;
}
