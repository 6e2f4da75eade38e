/* Gated recurrent unit in real numbers; weights (unit, gate, input and state). Its own memory holds states that are not
 * in the output. It begins at zero, or if saved is not 0 with the state in there, and leaves the last one there. */
FLOAT_KERNEL void float_gru_${index}_$bits(const Source *x, const Target *y, const FloatWeights *weights, float *own,
                                           float *saved, int units, int reverse, int last) {
    const float *before = saved;
    for (int left = x->channels - 1; left >= 0; left--) {
        const int step = reverse ? left : x->channels - 1 - left;
        float *h = state(y, own, units, step, left, last);
        Reader at = {.values = weights->values, .index = weights->index};
        for (int unit = 0; unit < units; unit++) {
            float bias[4] = {0, 0, 0, 0}, r[2], z[2], n[2];
            for (int i = 0; i < 4 && weights->bias; i++)
                bias[i] = weights->bias[4 * unit + i];
            float_sums_${index}_$bits(x, step, before, units, weights, 3 * unit, &at, r);
            float_sums_${index}_$bits(x, step, before, units, weights, 3 * unit + 1, &at, z);
            float_sums_${index}_$bits(x, step, before, units, weights, 3 * unit + 2, &at, n);
            const float fresh = tanhf(n[0] + bias[2] + logistic(r[0] + r[1] + bias[0]) * (n[1] + bias[3]));
            h[unit] = fresh + logistic(z[0] + z[1] + bias[1]) * ((before ? before[unit] : 0) - fresh);
        }
        round_state(y, h, units, step, last);
        before = h;
    }
    for (int unit = 0; saved && unit < units; unit++)
        saved[unit] = before[unit];
}
