/* Sum of one window times its weights, which the reader then has behind it. */
static int32_t sum_$encoding(const Input *x, int first, int count, int top, int left, const Window *window,
                             Reader *at) {
    int32_t sum = 0;
    for (int channel = first; channel < first + count; channel++) {
        for (int i = 0; i < window->kernel[0]; i++) {
            const int row = top + i * window->dilation[0];
            for (int j = 0; j < window->kernel[1]; j++) {
                const int32_t weight = next_$encoding(at);
                const int column = left + j * window->dilation[1];
                if (weight && row >= 0 && row < x->height && column >= 0 && column < x->width)
                    sum += weight * (x->data[(channel * x->height + row) * x->width + column] - x->zero_point);
            }
        }
    }
    return sum;
}

/* Convolution, depthwise too, of encoded weights; they are read anew for every place of the window. */
static void conv_$encoding(const Input *x, const Output *y, const Weights *weights, const Window *window, int groups) {
    const int count = x->channels / groups, outputs = y->channels / groups;
    Reader start = {weights->values, weights->index, 0, 0, 0, 0}, end = start;
    int8_t *out = y->data;
    for (int o = 0; o < y->channels; o++, start = end) {
        const int32_t bias = weights->bias ? weights->bias[o] : 0;
        for (int row = 0; row < y->height; row++) {
            const int top = row * window->stride[0] - window->padding[0];
            for (int column = 0; column < y->width; column++) {
                const int left = column * window->stride[1] - window->padding[1];
                end = start;
                const int32_t sum = bias + sum_$encoding(x, o / outputs * count, count, top, left, window, &end);
                *out++ = requantize((int64_t)sum * weights->multiplier[o], weights->shift[o], y);
            }
        }
    }
}
