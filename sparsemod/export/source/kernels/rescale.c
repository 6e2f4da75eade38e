/* The same real numbers in other steps: ReLU and its bounded kin, by the output's bounds. */
KERNEL void rescale(const Input *x, const Output *y, int32_t multiplier, int8_t shift) {
    const int size = y->channels * y->height * y->width;
    for (int i = 0; i < size; i++)
        y->data[i] = requantize((int64_t)multiplier * (x->data[i] - x->zero_point), shift, y);
}
