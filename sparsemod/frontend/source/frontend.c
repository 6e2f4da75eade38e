/* Window, Fourier transform, energies of triangular filters, logarithms. See frontend.h for its use.
 *
 * int may have 16 bits. What is shifted to the right is rounded: floor(x / 2^n + 1/2).
 */
#include "frontend.h"

#define POINTS $points
#define HALF (POINTS / 2)
#define FIRST_BIN $first
#define FILTERS $filters
#define CENTRE $centre /* logarithm that becomes 0 */

/* --- tables ---------------------------------------------------------------------------------------------------- */

$tables
/* --- arithmetic ------------------------------------------------------------------------------------------------- */

/* C99 leaves >> of negative numbers to the compiler; ~(~v >> shift) rounds them down everywhere. */
static inline int32_t shifted(int64_t value, int shift) {
    value += (int64_t)1 << (shift - 1);
    return (int32_t)(value >= 0 ? value >> shift : ~(~value >> shift));
}

static inline int32_t halved(int32_t value) {
    value++;
    return value >= 0 ? value >> 1 : ~(~value >> 1);
}

/* Cosine and sine of 2 pi k / POINTS in steps of 2^-14, k < HALF. */
static void turn(int k, int32_t *c, int32_t *s) {
    if (k <= HALF / 2) {
        *c = frontend_sine[HALF / 2 - k];
        *s = frontend_sine[k];
    } else {
        *c = -(int32_t)frontend_sine[k - HALF / 2];
        *s = frontend_sine[HALF - k];
    }
}

/* Sample i of the frame, weighted; 0 behind its end. */
static int32_t weighted(const Frontend *f, int i) {
    if (i >= FRONTEND_WINDOW)
        return 0;
    const int mirrored = FRONTEND_WINDOW - 1 - i;
    return shifted((int32_t)f->history[i] * frontend_window[i < mirrored ? i : mirrored], 6);
}

/* The frame as HALF complex numbers, in the order of reversed bits. */
static void load(Frontend *f) {
    int place = 0;
    for (int i = 0; i < HALF; i++) {
        f->spectrum[2 * place] = weighted(f, 2 * i);
        f->spectrum[2 * place + 1] = weighted(f, 2 * i + 1);
        int bit = HALF / 2;
        for (; place & bit; bit >>= 1)
            place ^= bit;
        place |= bit;
    }
}

/* Radix 2, halved in each step: nothing grows beyond 25 bits and a sign. */
static void transform(int32_t *z) {
    for (int length = 2; length <= HALF; length *= 2) {
        for (int k = 0; k < length / 2; k++) {
            int32_t c, s;
            turn(k * (POINTS / length), &c, &s);
            for (int i = k; i < HALF; i += length) {
                int32_t *a = z + 2 * i, *b = a + length;
                const int32_t re = shifted((int64_t)b[0] * c + (int64_t)b[1] * s, 14);
                const int32_t im = shifted((int64_t)b[1] * c - (int64_t)b[0] * s, 14);
                b[0] = halved(a[0] - re);
                b[1] = halved(a[1] - im);
                a[0] = halved(a[0] + re);
                a[1] = halved(a[1] + im);
            }
        }
    }
}

/* Squared magnitude of bin k of the real signal, 0 < k < HALF. */
static uint64_t power(const int32_t *z, int k) {
    const int32_t *a = z + 2 * k, *b = z + 2 * (HALF - k);
    const int32_t odd_re = a[1] + b[1], odd_im = b[0] - a[0];
    int32_t c, s;
    turn(k, &c, &s);
    const int32_t re = halved(a[0] + b[0] + shifted((int64_t)odd_re * c + (int64_t)odd_im * s, 14));
    const int32_t im = halved(a[1] - b[1] + shifted((int64_t)odd_im * c - (int64_t)odd_re * s, 14));
    return (uint64_t)((int64_t)re * re + (int64_t)im * im);
}

/* log2 with 10 bits of fraction; 0 for 0. */
static int32_t logarithm(uint64_t value) {
    if (value == 0)
        return 0;
    int exponent = 63;
    for (; !(value >> 56); exponent -= 8)
        value <<= 8;
    for (; !(value >> 63); exponent--)
        value <<= 1;
    const uint32_t mantissa = (uint32_t)(value >> 32);
    const int segment = (int)(mantissa >> 26 & 31);
    const int32_t low = frontend_logarithm[segment], high = frontend_logarithm[segment + 1];
    const int32_t place = (int32_t)(mantissa >> 10 & 0xffff);
    return (int32_t)exponent * 1024 + low + (((high - low) * place + 32768) >> 16);
}

static int8_t within(int32_t value) {
    return (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
}

$finish
/* Features of the frame that the history holds. */
static void finish_frame(Frontend *f, int8_t *features) {
    load(f);
    transform(f->spectrum);
    uint64_t energy = 0; /* of the filter below the corner */
    int bin = FIRST_BIN, weight = 0;
    for (int corner = 0; corner <= FILTERS; corner++) {
        uint64_t above = 0;
        const int end = bin + frontend_counts[corner];
        for (; bin < end; bin++, weight++) {
            const uint64_t square = power(f->spectrum, bin);
            above += square * frontend_rising[weight];
            energy += square * (256u - frontend_rising[weight]);
        }
        if (corner > 0)
            finish_filter(f, features, corner - 1, logarithm(energy) - CENTRE);
        energy = above;
    }
    finish_filters(f, features);
}

/* --- clips ------------------------------------------------------------------------------------------------------ */

void frontend_start(Frontend *f) {
    f->filled = 0;
    f->frames = 0;
}

int frontend_push(Frontend *f, const int16_t *samples, long count, int8_t *features) {
    for (; count > 0 && f->frames < FRONTEND_FRAMES; count--, samples++) {
        if (f->filled >= 0) /* else between two frames */
            f->history[f->filled] = *samples;
        if (++f->filled < FRONTEND_WINDOW)
            continue;
        finish_frame(f, features + f->frames * FRONTEND_WIDTH);
        f->frames++;
        for (int i = FRONTEND_STRIDE; i < FRONTEND_WINDOW; i++)
            f->history[i - FRONTEND_STRIDE] = f->history[i];
        f->filled = FRONTEND_WINDOW - FRONTEND_STRIDE;
    }
    return f->frames == FRONTEND_FRAMES;
}
