/* $what of each window, in real numbers. */
FLOAT_KERNEL void float_$kind(const Source *x, const Target *y, const Window *window) {
    int out = 0;
    for (int channel = 0; channel < y->channels; channel++) {
        for (int row = 0; row < y->height; row++) {
            const int top = row * window->stride[0] - window->padding[0];
            const Span rows = inside(top, window->dilation[0], window->kernel[0], x->height);
            for (int column = 0; column < y->width; column++) {
                const int left = column * window->stride[1] - window->padding[1];
                const Span columns = inside(left, window->dilation[1], window->kernel[1], x->width);
                float found = $start;
                for (int i = rows.first; i < rows.end; i++) {
                    const int line = (channel * x->height + top + i * window->dilation[0]) * x->width + left;
                    for (int j = columns.first; j < columns.end; j++) {
                        const float value = get(x, line + j * window->dilation[1]);
                        found = $next;
                    }
                }
                put(y, out++, $end);
            }
        }
    }
}
