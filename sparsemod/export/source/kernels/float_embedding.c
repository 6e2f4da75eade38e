/* One row of weights for each token, a number from 0 on; the last row beyond the table. */
FLOAT_KERNEL void float_embedding(const Source *x, const Target *y, const NET_FLASH float *table, int rows, int size) {
    for (int i = 0; i < x->channels * x->height * x->width; i++) {
        const float token = get(x, i);
        const int row = token < 0 ? 0 : token < (float)rows ? (int)token : rows - 1;
        for (int j = 0; j < size; j++)
            put(y, i * size + j, table[row * size + j]);
    }
}
