/* Long short-term memory in real numbers; weights (unit, gate, input and state). Its own memory holds the cell of each
 * unit, and states that are not in the output. It begins at zero, or if saved is not 0 with the cell there is and the
 * state in there, and leaves the last one there. */
FLOAT_KERNEL void float_lstm_${index}_$bits(const Source *x, const Target *y, const FloatWeights *weights, float *own,
                                            float *saved, int units, int reverse, int last) {
    const float *before = saved;
    for (int left = x->channels - 1; left >= 0; left--) {
        const int step = reverse ? left : x->channels - 1 - left;
        float *h = state(y, own + units, units, step, left, last);
        Reader at = {.values = weights->values, .index = weights->index};
        for (int unit = 0; unit < units; unit++) {
            float gate[4];
            for (int row = 4 * unit, i = 0; i < 4; i++, row++) {
                float sums[2];
                float_sums_${index}_$bits(x, step, before, units, weights, row, &at, sums);
                gate[i] = sums[0] + sums[1] + (weights->bias ? weights->bias[row] : 0);
            }
            const float kept = before ? logistic(gate[1]) * own[unit] : 0;
            own[unit] = kept + logistic(gate[0]) * tanhf(gate[2]);
            h[unit] = logistic(gate[3]) * tanhf(own[unit]);
        }
        round_state(y, h, units, step, last);
        before = h;
    }
    for (int unit = 0; saved && unit < units; unit++)
        saved[unit] = before[unit];
}
