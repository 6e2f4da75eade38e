/* A kernel stays a function of its own: within net_invoke, all of them together would need more stack. */
#ifdef __GNUC__
#define KERNEL static __attribute__((noinline))
#else
#define KERNEL static
#endif

/* What an operator reads: (channels, height, width). */
typedef struct {
    const int8_t *data;
    int channels, height, width, zero_point;
} Input;

/* What an operator writes; low and high bound its values. */
typedef struct {
    int8_t *data;
    int channels, height, width, zero_point, low, high;
} Output;
