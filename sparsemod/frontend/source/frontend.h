/* From raw samples to the features of a network in integers, made by sparsemod: $filters mel filters of frames of
 * $window samples ($window_ms ms), one every $stride samples ($stride_ms ms), at $rate Hz.
 *
 *     frontend_start(&f);                              begin a clip,
 *     frontend_push(&f, samples, count, features)      give it samples as they come in, until this returns 1.
 */
#ifndef FRONTEND_H
#define FRONTEND_H

#include <stdint.h>

#define FRONTEND_SAMPLES $samples /* of a clip */
#define FRONTEND_RATE $rate       /* samples per second */
#define FRONTEND_WINDOW $window   /* samples of a frame */
#define FRONTEND_STRIDE $stride   /* samples from one frame to the next */
#define FRONTEND_FRAMES $frames   /* of a clip */
#define FRONTEND_WIDTH $width     /* $kind of a frame */
#define FRONTEND_RAM $ram_bytes   /* bytes of Frontend */
#define FRONTEND_CONST $flash_bytes /* bytes of flash for tables */

/* Where constants lie; as NET_FLASH in net.h. */
#if defined(__FLASH) && !defined(__STRICT_ANSI__)
#define FRONTEND_FLASH __flash
#else
#define FRONTEND_FLASH
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* All memory of a front end; it needs none of the clip. */
typedef struct {
    int32_t spectrum[$points]; /* pairs of real and imaginary part */
    int16_t filled, frames;
$logarithms    int16_t history[$history];
} Frontend;

void frontend_start(Frontend *f);

/* Takes the next samples of the clip, any number of them, and writes the features that they complete, row by row.
 * Returns 1 once all FRONTEND_FRAMES * FRONTEND_WIDTH are written, else 0; what follows until frontend_start is ignored.
 */
int frontend_push(Frontend *f, const int16_t *samples, long count, int8_t *features);

#ifdef __cplusplus
}
#endif

#endif
