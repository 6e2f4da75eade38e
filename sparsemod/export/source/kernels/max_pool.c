/* Largest value of each window; what lies outside the input does not count. */
KERNEL void max_pool(const Input *x, const Output *y, const Window *window) {
    const int step = window->dilation[1];
    int8_t *out = y->data;
    for (int channel = 0; channel < y->channels; channel++) {
        const int8_t *plane = x->data + channel * x->height * x->width;
        for (int row = 0; row < y->height; row++) {
            const int top = row * window->stride[0] - window->padding[0];
            const Span rows = inside(top, window->dilation[0], window->kernel[0], x->height);
            for (int column = 0; column < y->width; column++) {
                const int left = column * window->stride[1] - window->padding[1];
                const Span columns = inside(left, step, window->kernel[1], x->width);
                int8_t largest = -128;
                for (int i = rows.first; i < rows.end; i++) {
                    const int8_t *in = plane + (top + i * window->dilation[0]) * x->width + left;
                    for (int j = columns.first; j < columns.end; j++)
                        largest = in[j * step] > largest ? in[j * step] : largest;
                }
                *out++ = largest;
            }
        }
    }
}
