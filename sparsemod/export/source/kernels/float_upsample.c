/* Each real number repeated, so many times along the rows and so many along the columns. */
FLOAT_KERNEL void float_upsample(const Source *x, const Target *y, int rows, int columns) {
    int out = 0;
    for (int channel = 0; channel < y->channels; channel++)
        for (int row = 0; row < y->height; row++)
            for (int column = 0; column < y->width; column++)
                put(y, out++, get(x, (channel * x->height + row / rows) * x->width + column / columns));
}
