/* Fully connected layer; weights (output, input). */
static void linear(const Input *x, const Output *y, const Weights *weights) {
    const NET_FLASH int8_t *weight = weights->weight;
    for (int o = 0; o < y->channels; o++) {
        int32_t sum = weights->bias ? weights->bias[o] : 0;
        for (int i = 0; i < x->channels; i++)
            sum += (int32_t)*weight++ * (x->data[i] - x->zero_point);
        y->data[o] = requantize((int64_t)sum * weights->multiplier[o], weights->shift[o], y);
    }
}
