/* Product of two tensors; the second is repeated along the axes on which it has one element. */
KERNEL void mul(const Input *a, const Input *b, const Output *y, int32_t multiplier, int8_t shift) {
    const int8_t *first = a->data;
    int8_t *out = y->data;
    for (int channel = 0; channel < y->channels; channel++) {
        for (int row = 0; row < y->height; row++) {
            const int line = (b->channels > 1 ? channel : 0) * b->height + (b->height > 1 ? row : 0);
            for (int column = 0; column < y->width; column++) {
                const int8_t second = b->data[line * b->width + (b->width > 1 ? column : 0)];
                const int32_t product = (int32_t)(*first++ - a->zero_point) * (second - b->zero_point);
                *out++ = requantize((int64_t)product * multiplier, shift, y);
            }
        }
    }
}
