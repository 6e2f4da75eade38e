/* Largest value of each window; what lies outside the input does not count. */
static void max_pool(const Input *x, const Output *y, const Window *window) {
    int8_t *out = y->data;
    for (int channel = 0; channel < y->channels; channel++) {
        const int8_t *plane = x->data + channel * x->height * x->width;
        for (int top = -window->padding[0], row = 0; row < y->height; row++, top += window->stride[0]) {
            for (int left = -window->padding[1], column = 0; column < y->width; column++, left += window->stride[1]) {
                int8_t largest = -128;
                for (int i = 0; i < window->kernel[0] * window->kernel[1]; i++) {
                    const int r = top + i / window->kernel[1] * window->dilation[0];
                    const int c = left + i % window->kernel[1] * window->dilation[1];
                    if (r >= 0 && r < x->height && c >= 0 && c < x->width && plane[r * x->width + c] > largest)
                        largest = plane[r * x->width + c];
                }
                *out++ = largest;
            }
        }
    }
}
