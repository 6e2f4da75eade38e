/* Fully connected layer in real numbers. */
FLOAT_KERNEL void float_linear_${index}_$bits(const Source *x, const Target *y, const FloatWeights *weights) {
    Reader at = {.values = weights->values, .index = weights->index};
    for (int o = 0; o < y->channels; o++) {
        float sum = 0;
        at.from = at.end, at.end += (uint32_t)x->channels;
        while (find_$index(&at)) {
            const float value = get(x, (int)(at.place - at.from));
            sum += (float)take_$bits(&at) * value;
        }
        put(y, o, total(sum, weights, o));
    }
}
