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

