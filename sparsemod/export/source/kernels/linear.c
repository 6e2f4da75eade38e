/* Fully connected layer; weights (output, input). On a map it does the same at every place: a convolution of 1 x 1. */
KERNEL void linear(const Input *x, const Output *y, const Weights *weights) {
    const int size = x->channels, places = y->height * y->width;
    for (int o = 0; o < y->channels; o += 4) {
        const NET_FLASH int8_t *weight = weights->weight + o * size;
        for (int place = 0; place < places; place++) {
            int32_t sums[4] = {0, 0, 0, 0};
            dot(x->data + place, places, x->zero_point, weight, size, size, sums, y->channels - o);
            for (int k = 0; k < 4 && o + k < y->channels; k++)
                y->data[(o + k) * places + place] = output(sums[k], weights, o + k, y);
        }
    }
}
