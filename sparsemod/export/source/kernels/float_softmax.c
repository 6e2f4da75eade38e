/* Softmax over rows of the given size, in real numbers. */
FLOAT_KERNEL void float_softmax(const Source *x, const Target *y, int size) {
    for (int row = 0; row < y->channels * y->height * y->width; row += size) {
        float largest = get(x, row), sum = 0;
        for (int i = 1; i < size; i++)
            largest = get(x, row + i) > largest ? get(x, row + i) : largest;
        for (int i = 0; i < size; i++)
            sum += expf(get(x, row + i) - largest);
        for (int i = 0; i < size; i++)
            put(y, row + i, expf(get(x, row + i) - largest) / sum);
    }
}
