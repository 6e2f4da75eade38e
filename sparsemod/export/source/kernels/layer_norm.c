/* Square root of a number below 2^54, rounded down, bit by bit. */
static int64_t square_root(int64_t value) {
    int64_t root = 0;
    for (int64_t bit = (int64_t)1 << 26; bit; bit >>= 1)
        if ((root + bit) * (root + bit) <= value)
            root += bit;
    return root;
}

/* Layer normalization of rows of the given size: to zero mean and unit variance, then a weight and a bias for each
 * element. The variance, with eps, is times size^2 * 2^bits, and a normalized element so many steps as shift gives. */
KERNEL void layer_norm(const Input *x, const Output *y, const Weights *weights, int size, int64_t eps, int bits,
                       int shift) {
    const int8_t *in = x->data, *end = in + y->channels * y->height * y->width;
    for (int8_t *out = y->data; in < end; in += size, out += size) {
        int32_t sum = 0, squares = 0;
        for (int i = 0; i < size; i++) {
            const int32_t value = in[i] - x->zero_point;
            sum += value;
            squares += value * value;
        }
        const int64_t variance = (int64_t)squares * size - (int64_t)sum * sum;
        const int64_t root = square_root(variance * ((int64_t)1 << bits) + eps);
        for (int i = 0; i < size; i++) {
            const int64_t centred = (int32_t)size * (in[i] - x->zero_point) - sum;
            const int64_t dividend = centred * ((int64_t)1 << shift) + root / 2;
            const int32_t quotient = (int32_t)(dividend >= 0 ? dividend / root : ~(~dividend / root)); /* down */
            const int32_t total = quotient * weights->weight[i] + weights->bias[i];
            out[i] = requantize((int64_t)total * weights->multiplier[i], weights->shift[i], y);
        }
    }
}
