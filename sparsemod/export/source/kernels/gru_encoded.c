/* Gated recurrent unit; weights (unit, gate, input and state). Of its own memory it needs two bytes for each unit, and
 * one more where only the last step is written. */
static void gru_$encoding(const Input *x, const Output *y, const Weights *weights, int8_t *own, int units, int reverse,
                          int last) {
    Step now = {0, 0, x->width, units, x->zero_point};
    for (int left = x->channels - 1; left >= 0; left--) {
        const int step = reverse ? left : x->channels - 1 - left;
        int8_t *h = last ? (left % 2 ? own + 2 * units : y->data) : y->data + step * units;
        Reader at = {weights->values, weights->index, 0, 0, 0, 0};
        now.x = x->data + step * x->width;
        for (int unit = 0; unit < units; unit++) {
            const int32_t none[4] = {0, 0, 0, 0}, *bias = weights->bias ? weights->bias + 4 * unit : none;
            int32_t r[2], z[2], n[2];
            gate_$encoding(&now, weights, 3 * unit, bias[0], 0, &at, r);
            gate_$encoding(&now, weights, 3 * unit + 1, bias[1], 0, &at, z);
            gate_$encoding(&now, weights, 3 * unit + 2, bias[2], bias[3], &at, n);
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
}
