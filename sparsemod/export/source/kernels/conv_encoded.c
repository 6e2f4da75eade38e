/* Adds to the sums of neighbouring places of a row what one filter gives; the reader then has the filter behind it. */
static void row_${index}_$bits(const Input *x, int first, int top, int left, const Window *window, Reader *at,
                               int32_t *sums, int places) {
    while (find_$index(at)) {
        const int tap = (int)(at->place - at->from), line = tap / window->kernel[1], step = window->stride[1];
        const int32_t weight = take_$bits(at);
        const int row = top + line % window->kernel[0] * window->dilation[0];
        const int column = left + tap % window->kernel[1] * window->dilation[1];
        if (row < 0 || row >= x->height)
            continue;
        const int8_t *in = x->data + ((first + line / window->kernel[0]) * x->height + row) * x->width;
        const Span seen = inside(column, step, places, x->width);
        for (int k = seen.first; k < seen.end; k++)
            sums[k] += weight * (in[column + k * step] - x->zero_point);
    }
}

/* Convolution, depthwise too, that takes one weight after the other. They are read anew for every 16 places of a row;
 * each is used at all of these, and one that is not stored takes no time. */
KERNEL void conv_${index}_$bits(const Input *x, const Output *y, const Weights *weights, const Window *window,
                                int groups) {
    const int count = x->channels / groups, outputs = y->channels / groups;
    Reader at = {.values = weights->values, .index = weights->index};
    int8_t *out = y->data;
    for (int o = 0; o < y->channels; o++) {
        at.from = at.end, at.end += (uint32_t)(count * window->kernel[0] * window->kernel[1]);
        const Reader start = at;
        const int32_t bias = weights->bias ? weights->bias[o] : 0;
        for (int row = 0; row < y->height; row++) {
            const int top = row * window->stride[0] - window->padding[0];
            for (int column = 0, places; column < y->width; column += places) {
                const int left = column * window->stride[1] - window->padding[1];
                int32_t sums[16];
                places = y->width - column < 16 ? y->width - column : 16;
                for (int k = 0; k < places; k++)
                    sums[k] = bias;
                at = start;
                row_${index}_$bits(x, o / outputs * count, top, left, window, &at, sums, places);
                for (int k = 0; k < places; k++)
                    *out++ = requantize((int64_t)sums[k] * weights->multiplier[o], weights->shift[o], y);
            }
        }
    }
}
