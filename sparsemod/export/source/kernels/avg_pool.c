/* Mean of each window: the multiplier divides by its size. */
KERNEL void avg_pool(const Input *x, const Output *y, const Window *window, int32_t multiplier, int8_t shift) {
    int8_t *out = y->data;
    for (int channel = 0; channel < y->channels; channel++) {
        const int8_t *plane = x->data + channel * x->height * x->width;
        for (int row = 0; row < y->height; row++) {
            for (int column = 0; column < y->width; column++) {
                const int8_t *corner = plane + row * window->stride[0] * x->width + column * window->stride[1];
                int32_t sum = 0;
                for (int i = 0; i < window->kernel[0]; i++)
                    for (int j = 0; j < window->kernel[1]; j++)
                        sum += corner[i * x->width + j] - x->zero_point;
                *out++ = requantize((int64_t)sum * multiplier, shift, y);
            }
        }
    }
}
