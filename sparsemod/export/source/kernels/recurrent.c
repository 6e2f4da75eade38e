/* What a recurrent layer reads at one step: an input, and the state before, which is 0 where that is zero. */
typedef struct {
    const int8_t *x, *h;
    int features, units, zero_point;
} Step;

/* value / 2^bits, rounded to nearest. */
static int64_t shifted(int64_t value, int bits) {
    value += (int64_t)1 << (bits - 1);
    return value >= 0 ? value >> bits : ~(~value >> bits);
}

/* A sum of products in steps of 2^-12, within 2^27. */
static int32_t gate_steps(int64_t product, int shift) {
    const int64_t largest = (int64_t)1 << 27, steps = shifted(product, shift);
    return (int32_t)(steps > largest ? largest : steps < -largest ? -largest : steps);
}

/* Hyperbolic tangent in steps of 2^-15, of a value in steps of 2^-bits / 32. */
static int32_t curve(int32_t value, int bits) {
    const int32_t size = value < 0 ? -value : value, i = size >> bits;
    int32_t result = net_tanh[256];
    if (i < 256) {
        const int32_t rise = net_tanh[i + 1] - net_tanh[i], rest = size - (i << bits);
        result = net_tanh[i] + ((rise * rest + ((int32_t)1 << (bits - 1))) >> bits);
    }
    return value < 0 ? -result : result;
}

/* Logistic function of steps of 2^-12, in steps of 2^-15. */
static int32_t sigmoid(int32_t value) {
    return (32769 + curve(value, 8)) >> 1;
}

/* Sixteen bits in two bytes, which lie anywhere. */
static int32_t loaded(const int8_t *at) {
    return (uint8_t)at[0] + 256 * (int32_t)at[1];
}

static void store(int8_t *at, int32_t value) {
    const int32_t low = value & 255;
    at[0] = (int8_t)(low < 128 ? low : low - 256);
    at[1] = (int8_t)((value - low) / 256);
}
