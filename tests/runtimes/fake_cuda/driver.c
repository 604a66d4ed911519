/* A stand-in for libcuda.so.1: the driver functions that the toolkit calls, with the prototypes of cuda.h (CUDA 12, 13).

   One device, one context, one stream. Work on the stream is queued and done by cuStreamSynchronize, so that a result
   that is read too early is wrong. Device addresses do not fit in 32 bits and cannot be read by the host: an argument of
   the wrong width, or in the wrong place, is an error here as it is there. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct context *CUcontext;
typedef struct stream *CUstream;
typedef struct event *CUevent;
typedef struct graph *CUgraph;
typedef struct graph *CUgraphExec;

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_CONTEXT = 201, INVALID_HANDLE = 400,
       NOT_READY = 600, CAPTURE_UNMATCHED = 905 };
enum { MOST = 64 };
static const CUdeviceptr TAG = 0x1000000000000000ULL;

struct operation { enum { COPY, RECORD } kind; void *target; const void *source; size_t size; struct event *event; };
struct queue { struct operation operations[MOST]; int count; };
struct context { int retained; } the_context;
struct stream { int created; int capturing; struct queue queue, captured; } the_stream;
struct event { int done; long time; };
struct graph { struct queue queue; int executable; };
struct memory { CUdeviceptr address; size_t size; } device[MOST];
struct { void *address; size_t size; } pinned[MOST];

static int initialised, graphs;
static long now;
static __thread CUcontext current;

#define CHECK(condition, code) do { if (!(condition)) return code; } while (0)
#define READY() do { CHECK(initialised, NOT_INITIALIZED); CHECK(current == &the_context, INVALID_CONTEXT); } while (0)
#define ON_STREAM(stream) do { READY(); CHECK((stream) == &the_stream && the_stream.created, INVALID_HANDLE); } while (0)

static void *host(CUdeviceptr address, size_t size) {
    for (int i = 0; i < MOST; i++)
        if (device[i].address && address >= device[i].address && address + size <= device[i].address + device[i].size)
            return (void *)(uintptr_t)(address - TAG);
    return NULL;
}

static int is_pinned(const void *address, size_t size) {
    for (int i = 0; i < MOST; i++)
        if (pinned[i].address && (char *)address >= (char *)pinned[i].address &&
            (char *)address + size <= (char *)pinned[i].address + pinned[i].size)
            return 1;
    return 0;
}

static CUresult enqueue(struct operation operation) {
    struct queue *queue = the_stream.capturing ? &the_stream.captured : &the_stream.queue;
    CHECK(queue->count < MOST, OUT_OF_MEMORY);
    queue->operations[queue->count++] = operation;
    return SUCCESS;
}

CUresult cuInit(unsigned int flags) { CHECK(flags == 0, INVALID_VALUE); initialised = 1; return SUCCESS; }
CUresult cuDeviceGetCount(int *count) { CHECK(initialised, NOT_INITIALIZED); *count = 1; return SUCCESS; }
CUresult cuDeviceGet(CUdevice *device_, int ordinal) { CHECK(ordinal == 0, INVALID_VALUE); *device_ = 7; return SUCCESS; }

CUresult cuDeviceGetName(char *name, int length, CUdevice device_) {
    CHECK(length >= 9 && device_ == 7, INVALID_VALUE);
    strcpy(name, "Fake GPU");
    return SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device_) {
    CHECK((attribute == 75 || attribute == 76) && device_ == 7, INVALID_VALUE);
    *value = attribute == 75 ? 8 : 6;
    return SUCCESS;
}

CUresult cuDriverGetVersion(int *version) { *version = 12080; return SUCCESS; }

/* As libnvidia-ml.so.1. */
static int managing;
int nvmlInit_v2(void) { managing = 1; return 0; }
int nvmlShutdown(void) { managing = 0; return 0; }

int nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    CHECK(managing && length >= 80, INVALID_VALUE);
    strcpy(version, "570.86.15");
    return 0;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device_) {
    CHECK(device_ == 7, INVALID_VALUE);
    the_context.retained++;
    *context = &the_context;
    return SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) { CHECK(context == &the_context, INVALID_CONTEXT); current = context; return SUCCESS; }

CUresult cuGetErrorString(CUresult error, const char **text) {
    *text = error == INVALID_VALUE ? "invalid argument" : error == OUT_OF_MEMORY ? "out of memory" : NULL;
    return *text ? SUCCESS : INVALID_VALUE;
}

CUresult cuStreamCreate(CUstream *stream, unsigned int flags) {
    READY();
    CHECK(flags <= 1, INVALID_VALUE);
    the_stream.created = 1;
    *stream = &the_stream;
    return SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
    ON_STREAM(stream);
    CHECK(!the_stream.capturing, CAPTURE_UNMATCHED);
    for (int i = 0; i < the_stream.queue.count; i++) {
        struct operation *operation = &the_stream.queue.operations[i];
        if (operation->kind == COPY) memmove(operation->target, operation->source, operation->size);
        else { operation->event->done = 1; operation->event->time = now; }
        now++;
    }
    the_stream.queue.count = 0;
    return SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t size) {
    READY();
    CHECK(size, INVALID_VALUE);
    for (int i = 0; i < MOST; i++) {
        if (device[i].address) continue;
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(memory != MAP_FAILED, OUT_OF_MEMORY);
        device[i] = (struct memory){(CUdeviceptr)(uintptr_t)memory + TAG, size};
        *address = device[i].address;
        return SUCCESS;
    }
    return OUT_OF_MEMORY;
}

CUresult cuMemFree_v2(CUdeviceptr address) {
    READY();
    for (int i = 0; i < MOST; i++)
        if (address && device[i].address == address) {
            munmap((void *)(uintptr_t)(address - TAG), device[i].size);
            device[i].address = 0;
            return SUCCESS;
        }
    return INVALID_VALUE;
}

CUresult cuMemHostAlloc(void **address, size_t size, unsigned int flags) {
    READY();
    CHECK(size && flags == 0, INVALID_VALUE);
    for (int i = 0; i < MOST; i++)
        if (!pinned[i].address) {
            *address = pinned[i].address = malloc(size);
            pinned[i].size = size;
            return *address ? SUCCESS : OUT_OF_MEMORY;
        }
    return OUT_OF_MEMORY;
}

CUresult cuMemFreeHost(void *address) {
    READY();
    for (int i = 0; i < MOST; i++)
        if (address && pinned[i].address == address) { free(address); pinned[i].address = NULL; return SUCCESS; }
    return INVALID_VALUE;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t size, CUstream stream) {
    ON_STREAM(stream);
    CHECK(host(target, size) && is_pinned(source, size), INVALID_VALUE);
    return enqueue((struct operation){COPY, host(target, size), source, size, NULL});
}

CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t size, CUstream stream) {
    ON_STREAM(stream);
    CHECK(host(source, size) && is_pinned(target, size), INVALID_VALUE);
    return enqueue((struct operation){COPY, target, host(source, size), size, NULL});
}

CUresult cuEventCreate(CUevent *event, unsigned int flags) {
    READY();
    CHECK(flags == 0, INVALID_VALUE);
    *event = calloc(1, sizeof **event);
    return SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
    ON_STREAM(stream);
    event->done = 0;
    return enqueue((struct operation){RECORD, NULL, NULL, 0, event});
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent begin, CUevent end) {
    CHECK(begin->done && end->done, NOT_READY);
    *milliseconds = 0.5f * (end->time - begin->time); /* each operation takes half a millisecond */
    return SUCCESS;
}

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
    ON_STREAM(stream);
    CHECK(mode >= 0 && mode <= 2 && !the_stream.capturing, INVALID_VALUE);
    the_stream.capturing = 1;
    the_stream.captured.count = 0;
    return SUCCESS;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    ON_STREAM(stream);
    CHECK(the_stream.capturing, CAPTURE_UNMATCHED);
    the_stream.capturing = 0;
    *graph = calloc(1, sizeof **graph);
    (*graph)->queue = the_stream.captured;
    graphs++;
    return SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
    READY();
    CHECK(flags == 0 && graph && !graph->executable, INVALID_VALUE);
    *executable = calloc(1, sizeof **executable);
    (*executable)->queue = graph->queue;
    (*executable)->executable = 1;
    graphs++;
    return SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    ON_STREAM(stream);
    CHECK(executable && executable->executable, INVALID_HANDLE);
    for (int i = 0; i < executable->queue.count; i++)
        CHECK(enqueue(executable->queue.operations[i]) == SUCCESS, OUT_OF_MEMORY);
    return SUCCESS;
}

static CUresult destroy(struct graph *graph, int executable) {
    READY();
    CHECK(graph && graph->executable == executable, INVALID_HANDLE);
    free(graph);
    graphs--;
    return SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph) { return destroy(graph, 0); }
CUresult cuGraphExecDestroy(CUgraphExec executable) { return destroy(executable, 1); }

/* What tests ask, and the only kernel there is. */

CUresult fake_copy(CUdeviceptr target, CUdeviceptr source, size_t size, CUstream stream) {
    ON_STREAM(stream);
    CHECK(host(target, size) && host(source, size), INVALID_VALUE);
    return enqueue((struct operation){COPY, host(target, size), host(source, size), size, NULL});
}

void *fake_host(CUdeviceptr address) { return host(address, 1); }

size_t fake_size(CUdeviceptr address) {
    for (int i = 0; i < MOST; i++)
        if (device[i].address == address) return device[i].size;
    return 0;
}

int fake_live(void) { /* allocations and graphs that nobody has given back */
    int live = graphs;
    for (int i = 0; i < MOST; i++) live += (device[i].address != 0) + (pinned[i].address != NULL);
    return live;
}
