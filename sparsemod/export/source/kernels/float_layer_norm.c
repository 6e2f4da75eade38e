/* Layer normalization of rows of the given size, in real numbers: to zero mean and unit variance, then a weight and a
 * bias for each element. All are taken from the first of a row, so that nothing is left of equal ones. */
FLOAT_KERNEL void float_layer_norm(const Source *x, const Target *y, const NET_FLASH float *weight,
                                   const NET_FLASH float *bias, int size, float eps) {
    for (int row = 0; row < y->channels * y->height * y->width; row += size) {
        const float first = get(x, row);
        float mean = 0, variance = 0;
        for (int i = 0; i < size; i++)
            mean += get(x, row + i) - first;
        mean /= (float)size;
        for (int i = 0; i < size; i++) {
            const float centred = get(x, row + i) - first - mean;
            variance += centred * centred;
        }
        const float factor = 1 / sqrtf(variance / (float)size + eps);
        for (int i = 0; i < size; i++)
            put(y, row + i, (get(x, row + i) - first - mean) * factor * weight[i] + bias[i]);
    }
}
