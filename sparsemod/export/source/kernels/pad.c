/* Zeros around each plane, as many above and to the left as given, and enough below and to the right. */
KERNEL void pad(const Input *x, const Output *y, int above, int left) {
    int8_t *out = y->data;
    for (int channel = 0; channel < y->channels; channel++) {
        for (int row = -above; row < y->height - above; row++) {
            const int8_t *line = x->data + (channel * x->height + row) * x->width;
            for (int column = -left; column < y->width - left; column++) {
                const int inside = row >= 0 && row < x->height && column >= 0 && column < x->width;
                *out++ = inside ? line[column] : (int8_t)x->zero_point;
            }
        }
    }
}
