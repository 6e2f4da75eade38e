/* Sum of one window times its weights; what lies outside the input is zero and is left out. */
static int32_t conv_sum(const Input *x, int first, int count, int top, int left, const Window *window,
                        const NET_FLASH int8_t *weight) {
    int32_t sum = 0;
    for (int channel = first; channel < first + count; channel++) {
        for (int i = 0; i < window->kernel[0]; i++, weight += window->kernel[1]) {
            const int row = top + i * window->dilation[0];
            if (row < 0 || row >= x->height)
                continue;
            const int8_t *line = x->data + (channel * x->height + row) * x->width;
            for (int j = 0; j < window->kernel[1]; j++) {
                const int column = left + j * window->dilation[1];
                if (column >= 0 && column < x->width)
                    sum += (int32_t)weight[j] * (line[column] - x->zero_point);
            }
        }
    }
    return sum;
}

/* Convolution, depthwise too; weights (output channel, channel of its group, row, column). */
static void conv(const Input *x, const Output *y, const Weights *weights, const Window *window, int groups) {
    const int count = x->channels / groups, outputs = y->channels / groups;
    const NET_FLASH int8_t *weight = weights->weight;
    int8_t *out = y->data;
    for (int o = 0; o < y->channels; o++, weight += count * window->kernel[0] * window->kernel[1]) {
        const int32_t bias = weights->bias ? weights->bias[o] : 0;
        for (int row = 0; row < y->height; row++) {
            const int top = row * window->stride[0] - window->padding[0];
            for (int column = 0; column < y->width; column++) {
                const int left = column * window->stride[1] - window->padding[1];
                const int32_t sum = bias + conv_sum(x, o / outputs * count, count, top, left, window, weight);
                *out++ = requantize((int64_t)sum * weights->multiplier[o], weights->shift[o], y);
            }
        }
    }
}
