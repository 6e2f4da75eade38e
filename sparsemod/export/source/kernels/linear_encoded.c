/* Fully connected layer of encoded weights. */
static void linear_$encoding(const Input *x, const Output *y, const Weights *weights) {
    Reader at = {weights->values, weights->index, 0, 0, 0, 0};
    for (int o = 0; o < y->channels; o++) {
        int32_t sum = weights->bias ? weights->bias[o] : 0;
        for (int i = 0; i < x->channels; i++) {
            const int32_t weight = next_$encoding(&at);
            if (weight)
                sum += weight * (x->data[i] - x->zero_point);
        }
        y->data[o] = requantize((int64_t)sum * weights->multiplier[o], weights->shift[o], y);
    }
}
