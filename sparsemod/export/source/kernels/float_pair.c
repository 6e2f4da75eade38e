/* $what of two tensors, in real numbers; the second is repeated along the axes on which it has one element. */
FLOAT_KERNEL void float_$kind(const Source *a, const Source *b, const Target *y) {
    int i = 0;
    for (int channel = 0; channel < y->channels; channel++) {
        for (int row = 0; row < y->height; row++) {
            const int line = (b->channels > 1 ? channel : 0) * b->height + (b->height > 1 ? row : 0);
            for (int column = 0; column < y->width; column++, i++)
                put(y, i, get(a, i) $sign get(b, line * b->width + (b->width > 1 ? column : 0)));
        }
    }
}
