/* Each element repeated, so many times along the rows and so many along the columns. */
KERNEL void upsample(const Input *x, const Output *y, int rows, int columns) {
    int8_t *out = y->data;
    for (int channel = 0; channel < y->channels; channel++)
        for (int row = 0; row < y->height; row++)
            for (int column = 0; column < y->width; column++)
                *out++ = x->data[(channel * x->height + row / rows) * x->width + column / columns];
}
