/* Video frames of luma, and of chroma at half its height and width (4:2:0), in the memory of the caller: planes, NV12,
 * NV21, P010. This file is the same for all engines.
 */
#ifndef RT4KSR_YUV420_H
#define RT4KSR_YUV420_H

#include <stddef.h>

typedef struct rt4ksr_yuv420 {
  void *luma, *cb, *cr;    /* first samples; in NV12, `cr` is the sample after `cb`, in NV21 `cb` is that after `cr` */
  ptrdiff_t luma_stride;   /* bytes from one row to the next */
  ptrdiff_t chroma_stride; /* the same for chroma */
  int chroma_step;         /* samples from one of `cb` to the next: 1 in planes, 2 in NV12 */
  int bits;                /* 8: bytes; 9 to 16: pairs of bytes with the value in the low bits. P010 has 16 */
  int matrix;              /* by ITU-T H.273: 1 BT.709, 5 or 6 BT.601, 9 BT.2020; also 4 and 7 */
  int full_range;          /* black is 0 and white the largest value, instead of 16 and 235 times 2^(bits - 8) */
  int location;            /* of chroma, by ITU-T H.273: 0 left, 1 centre, 2 top left, 3 top, 4 bottom left, 5 bottom */
} rt4ksr_yuv420;

#endif
