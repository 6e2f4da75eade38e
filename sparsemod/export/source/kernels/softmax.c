/* Softmax over rows of the given size, in steps of 1/256 from -128; table[d] is 2^15 exp(-d) in steps of the input. */
KERNEL void softmax(const Input *x, const Output *y, int size, const NET_FLASH uint16_t *table) {
    const int8_t *in = x->data, *end = in + y->channels * y->height * y->width;
    for (int8_t *out = y->data; in < end; in += size, out += size) {
        int largest = -128;
        uint32_t total = 0;
        for (int i = 0; i < size; i++)
            largest = in[i] > largest ? in[i] : largest;
        for (int i = 0; i < size; i++)
            total += table[largest - in[i]];
        for (int i = 0; i < size; i++) {
            const uint32_t share = (512 * (uint32_t)table[largest - in[i]] + total) / (2 * total);
            out[i] = (int8_t)((share > 255 ? 255 : (int)share) - 128);
        }
    }
}
