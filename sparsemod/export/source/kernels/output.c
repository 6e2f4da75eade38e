/* What a layer writes for a sum of products of an output channel. */
static int8_t output(int32_t sum, const Weights *weights, int channel, const Output *y) {
    sum += weights->bias ? weights->bias[channel] : 0;
    return requantize((int64_t)sum * weights->multiplier[channel], weights->shift[channel], y);
}
