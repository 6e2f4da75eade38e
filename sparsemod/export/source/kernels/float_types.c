/* GCC 12 takes a clone of a kernel for known addresses that has elements of different sizes at both ends for one that
 * writes nothing, and leaves out its call. */
#if defined(__GNUC__) && !defined(__clang__)
#define FLOAT_KERNEL static __attribute__((noinline, noclone))
#else
#define FLOAT_KERNEL KERNEL
#endif

/* What an operator in real numbers reads: (channels, height, width), float32, or int8 if its scale is not 0. */
typedef struct {
    const void *data;
    int channels, height, width, zero_point;
    float scale;
} Source;

/* What it writes; low and high bound the real numbers. */
typedef struct {
    void *data;
    int channels, height, width, zero_point;
    float scale, low, high;
} Target;
