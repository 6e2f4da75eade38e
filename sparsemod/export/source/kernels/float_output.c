/* What a layer gives for a sum of products of an output channel. */
static inline float total(float sum, const FloatWeights *weights, int channel) {
    return (weights->scale ? sum * weights->scale[channel] : sum) + (weights->bias ? weights->bias[channel] : 0);
}
