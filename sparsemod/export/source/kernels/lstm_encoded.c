/* Long short-term memory; weights (unit, gate, input and state). Of its own memory it needs two bytes for each unit,
 * and one more where only the last step is written. It begins at zero, or if saved is not 0 with the state in there,
 * one byte for each unit, and leaves the last one there. */
KERNEL void lstm_${index}_$bits(const Input *x, const Output *y, const Weights *weights, int8_t *own, int8_t *saved,
                              int units, int reverse, int last) {
    Step now = {0, saved, x->width, units, x->zero_point};
    for (int left = x->channels - 1; left >= 0; left--) {
        const int step = reverse ? left : x->channels - 1 - left;
        int8_t *h = last ? (left % 2 ? own + 2 * units : y->data) : y->data + step * units;
        Reader at = {.values = weights->values, .index = weights->index};
        now.x = x->data + step * x->width;
        for (int unit = 0; unit < units; unit++) {
            int32_t gate[4];
            for (int i = 0; i < 4; i++) {
                const int row = 4 * unit + i;
                int32_t steps[2];
                gate_${index}_$bits(&now, weights, row, weights->bias ? weights->bias[row] : 0, 0, &at, steps);
                gate[i] = steps[0] + steps[1];
            }
            const int64_t kept = (int64_t)sigmoid(gate[1]) * 16 * (now.h ? loaded(own + 2 * unit) : 0);
            int32_t cell = (int32_t)shifted(kept + (int64_t)sigmoid(gate[0]) * curve(gate[2], 7), 19);
            cell = cell > 32767 ? 32767 : cell < -32768 ? -32768 : cell;
            store(own + 2 * unit, cell);
            const int32_t state = (int32_t)shifted((int64_t)sigmoid(gate[3]) * curve(cell, 6), 23);
            h[unit] = (int8_t)(state > 127 ? 127 : state);
        }
        now.h = h;
    }
    for (int unit = 0; saved && unit < units; unit++)
        saved[unit] = now.h[unit];
}
