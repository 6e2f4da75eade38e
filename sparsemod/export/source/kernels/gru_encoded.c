/* Gated recurrent unit; weights (unit, gate, input and state). Of its own memory it needs two bytes for each unit, and
 * one more where only the last step is written. It begins at zero, or if saved is not 0 with the state in there, one
 * byte for each unit, and leaves the last one there. */
KERNEL void gru_${index}_$bits(const Input *x, const Output *y, const Weights *weights, int8_t *own, int8_t *saved,
                              int units, int reverse, int last) {
    Step now = {0, saved, x->width, units, x->zero_point};
    for (int left = x->channels - 1; left >= 0; left--) {
        const int step = reverse ? left : x->channels - 1 - left;
        int8_t *h = last ? (left % 2 ? own + 2 * units : y->data) : y->data + step * units;
        Reader at = {.values = weights->values, .index = weights->index};
        now.x = x->data + step * x->width;
        for (int unit = 0; unit < units; unit++) {
            int32_t bias[4] = {0, 0, 0, 0}, r[2], z[2], n[2];
            for (int i = 0; i < 4 && weights->bias; i++)
                bias[i] = weights->bias[4 * unit + i];
            gate_${index}_$bits(&now, weights, 3 * unit, bias[0], 0, &at, r);
            gate_${index}_$bits(&now, weights, 3 * unit + 1, bias[1], 0, &at, z);
            gate_${index}_$bits(&now, weights, 3 * unit + 2, bias[2], bias[3], &at, n);
            const int64_t given = n[0] + shifted((int64_t)sigmoid(r[0] + r[1]) * n[1], 15);
            const int32_t next = curve((int32_t)given, 7);
            const int32_t before = now.h ? loaded(own + 2 * unit) : 0;
            const int32_t exact = (int32_t)(next + shifted((int64_t)sigmoid(z[0] + z[1]) * (before - next), 15));
            store(own + 2 * unit, exact);
            const int32_t state = (int32_t)shifted(exact, 8);
            h[unit] = (int8_t)(state > 127 ? 127 : state);
        }
        now.h = h;
    }
    for (int unit = 0; saved && unit < units; unit++)
        saved[unit] = now.h[unit];
}
