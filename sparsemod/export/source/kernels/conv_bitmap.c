/* Sum of one window times its weights that are not zero; moves value on to the weights of the next output channel. */
static int32_t conv_bitmap_sum(const Input *x, int first, int count, int top, int left, const Window *window,
                               const uint8_t *bitmap, uint32_t bit, const int8_t **value) {
    int32_t sum = 0;
    for (int channel = first; channel < first + count; channel++) {
        for (int i = 0; i < window->kernel[0]; i++) {
            const int row = top + i * window->dilation[0];
            for (int j = 0; j < window->kernel[1]; j++, bit++) {
                if (!(bitmap[bit / 8] >> bit % 8 & 1))
                    continue;
                const int32_t weight = *(*value)++;
                const int column = left + j * window->dilation[1];
                if (row >= 0 && row < x->height && column >= 0 && column < x->width)
                    sum += weight * (x->data[(channel * x->height + row) * x->width + column] - x->zero_point);
            }
        }
    }
    return sum;
}

/* Convolution, depthwise too, that stores and multiplies only weights that are not zero. */
static void conv_bitmap(const Input *x, const Output *y, const Weights *weights, const Window *window, int groups) {
    const int count = x->channels / groups, outputs = y->channels / groups;
    const uint32_t taps = (uint32_t)count * window->kernel[0] * window->kernel[1];
    const int8_t *start = weights->weight, *end = start;
    int8_t *out = y->data;
    for (int o = 0; o < y->channels; o++, start = end) {
        const int32_t bias = weights->bias ? weights->bias[o] : 0;
        for (int row = 0; row < y->height; row++) {
            const int top = row * window->stride[0] - window->padding[0];
            for (int column = 0; column < y->width; column++) {
                const int left = column * window->stride[1] - window->padding[1];
                end = start;
                const int32_t sum = bias + conv_bitmap_sum(x, o / outputs * count, count, top, left, window,
                                                           weights->bitmap, o * taps, &end);
                *out++ = requantize((int64_t)sum * weights->multiplier[o], weights->shift[o], y);
            }
        }
    }
}
