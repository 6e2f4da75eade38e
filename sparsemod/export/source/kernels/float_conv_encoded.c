/* Adds to the sums of some places, lines of so many columns, what one filter gives; the reader then has the filter
 * behind it. The place of a weight within its filter is counted, as divisions take long on small processors. */
static void float_add_${index}_$bits(const Source *x, int first, int top, int left, const Window *window, Reader *at,
                                     float *sums, int lines, int columns) {
    int plane = first * x->height * x->width, i = 0, j = 0;
    for (uint32_t place = at->from; find_$index(at);) {
        for (j += (int)(at->place - place); j >= window->kernel[1]; j -= window->kernel[1])
            if (++i == window->kernel[0])
                i = 0, plane += x->height * x->width;
        place = at->place;
        const float weight = (float)take_$bits(at);
        const int step = window->stride[1];
        const int row = top + i * window->dilation[0], column = left + j * window->dilation[1];
        const Span rows = inside(row, window->stride[0], lines, x->height);
        const Span seen = inside(column, step, columns, x->width);
        for (int line = rows.first; line < rows.end; line++) {
            const int in = plane + (row + line * window->stride[0]) * x->width + column;
            for (int k = seen.first; k < seen.end; k++)
                sums[line * columns + k] += weight * get(x, in + k * step);
        }
    }
}

/* Convolution in real numbers, depthwise too. Weights are read anew for every 16 places, or as many as make whole
 * lines; each is used at all of these, and one that is not stored takes no time. */
FLOAT_KERNEL void float_conv_${index}_$bits(const Source *x, const Target *y, const FloatWeights *weights,
                                            const Window *window, int groups) {
    enum { PLACES = 16 };
    const int count = x->channels / groups, outputs = y->channels / groups;
    const int columns = y->width < PLACES ? y->width : PLACES, lines = PLACES / columns;
    Reader at = {.values = weights->values, .index = weights->index};
    for (int o = 0; o < y->channels; o++) {
        at.from = at.end, at.end += (uint32_t)(count * window->kernel[0] * window->kernel[1]);
        const Reader start = at;
        for (int row = 0; row < y->height; row += lines) {
            const int top = row * window->stride[0] - window->padding[0];
            const int high = y->height - row < lines ? y->height - row : lines;
            for (int column = 0; column < y->width; column += columns) {
                const int left = column * window->stride[1] - window->padding[1];
                const int wide = y->width - column < columns ? y->width - column : columns;
                int out = (o * y->height + row) * y->width + column;
                float sums[PLACES] = {0}, *sum = sums;
                at = start;
                float_add_${index}_$bits(x, o / outputs * count, top, left, window, &at, sums, high, wide);
                for (int line = 0; line < high; line++, out += y->width)
                    for (int k = 0; k < wide; k++)
                        put(y, out + k, total(*sum++, weights, o));
            }
        }
    }
}
