/* Fully connected layer that stores and multiplies only weights that are not zero. */
static void linear_bitmap(const Input *x, const Output *y, const Weights *weights) {
    const int8_t *value = weights->weight;
    uint32_t bit = 0;
    for (int o = 0; o < y->channels; o++) {
        int32_t sum = weights->bias ? weights->bias[o] : 0;
        for (int i = 0; i < x->channels; i++, bit++)
            if (weights->bitmap[bit / 8] >> bit % 8 & 1)
                sum += (int32_t)*value++ * (x->data[i] - x->zero_point);
        y->data[o] = requantize((int64_t)sum * weights->multiplier[o], weights->shift[o], y);
    }
}
