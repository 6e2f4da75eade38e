/* A sum times its multiplier, back to eight bits: zero_point + floor(product / 2^shift + 1/2), within low and high.
 * C99 leaves >> of negative numbers to the compiler; ~(~v >> shift) rounds them down everywhere. */
static int8_t requantize(int64_t product, int shift, const Output *y) {
    const int64_t value = product + ((int64_t)1 << (shift - 1));
    const int64_t result = y->zero_point + (value >= 0 ? value >> shift : ~(~value >> shift));
    if (result < y->low)
        return (int8_t)y->low;
    if (result > y->high)
        return (int8_t)y->high;
    return (int8_t)result;
}
