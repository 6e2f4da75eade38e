/* Sum of two tensors, each with its own multiplier. */
KERNEL void add(const Input *a, const Input *b, const Output *y, const NET_FLASH int32_t *multiplier, int8_t shift) {
    const int size = y->channels * y->height * y->width;
    for (int i = 0; i < size; i++) {
        const int64_t first = (int64_t)multiplier[0] * (a->data[i] - a->zero_point);
        const int64_t second = (int64_t)multiplier[1] * (b->data[i] - b->zero_point);
        y->data[i] = requantize(first + second, shift, y);
    }
}
