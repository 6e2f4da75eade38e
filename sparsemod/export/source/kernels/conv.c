enum { CONV_OUTPUTS = 16, CONV_TAPS = 32 };

/* Copies what a window sees, from one tap of its filter on and as much as fits; returns how much. What lies outside the
 * input is zero. */
static int conv_copy(const Input *x, int first, int top, int left, const Window *window, int tap, int size,
                     int8_t *copy) {
    const int step = window->dilation[1], past = left + window->kernel[1] * step;
    const int count = size - tap < CONV_TAPS ? size - tap : CONV_TAPS;
    const int8_t *plane = x->data + (first + tap / window->kernel[1] / window->kernel[0]) * x->height * x->width;
    int i = tap / window->kernel[1] % window->kernel[0], column = left + tap % window->kernel[1] * step;
    for (const int8_t *end = copy + count; copy < end; column = left) {
        const int row = top + i * window->dilation[0], width = row >= 0 && row < x->height ? x->width : 0;
        for (; column < past && copy < end; column += step)
            *copy++ = column >= 0 && column < width ? plane[row * x->width + column] : (int8_t)x->zero_point;
        if (++i == window->kernel[0])
            i = 0, plane += x->height * x->width;
    }
    return count;
}

/* Convolution; weights (output channel, channel of its group, row, column). What a window sees is copied, in parts, and
 * each part is used for 16 output channels. */
KERNEL void conv(const Input *x, const Output *y, const Weights *weights, const Window *window, int groups) {
    const int outputs = y->channels / groups, places = y->height * y->width;
    const int size = x->channels / groups * window->kernel[0] * window->kernel[1];
    for (int o = 0, used; o < y->channels; o += used) {
        const int rest = outputs - o % outputs, first = o / outputs * (x->channels / groups);
        used = rest < CONV_OUTPUTS ? rest : CONV_OUTPUTS;
        for (int place = 0; place < places; place++) {
            const int top = place / y->width * window->stride[0] - window->padding[0];
            const int left = place % y->width * window->stride[1] - window->padding[1];
            int32_t sums[CONV_OUTPUTS] = {0};
            for (int tap = 0, taps; tap < size; tap += taps) {
                int8_t copy[CONV_TAPS];
                const NET_FLASH int8_t *weight = weights->weight + o * size + tap;
                taps = conv_copy(x, first, top, left, window, tap, size, copy);
                for (int k = 0; k < used; k += 4)
                    dot(copy, 1, x->zero_point, weight + k * size, taps, size, sums + k, used - k);
            }
            for (int k = 0; k < used; k++)
                y->data[(o + k) * places + place] = output(sums[k], weights, o + k, y);
        }
    }
}
