/* One row of weights for each token, a number from 0 on; the last row beyond the table. */
KERNEL void embedding(const Input *x, const Output *y, const Weights *weights, int rows, int size) {
    int8_t *out = y->data;
    for (int i = 0; i < x->channels * x->height * x->width; i++) {
        const int token = x->data[i] - x->zero_point;
        const NET_FLASH int8_t *row = weights->weight + (token < rows ? token : rows - 1) * size;
        for (int j = 0; j < size; j++)
            *out++ = row[j];
    }
}
