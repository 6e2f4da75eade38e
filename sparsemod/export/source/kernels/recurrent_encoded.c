/* The next row of weights: its sums with input and state, in steps of a gate. */
static void gate_$encoding(const Step *step, const Weights *weights, int row, int32_t given, int32_t kept, Reader *at,
                           int32_t *steps) {
    const Step now = *step;
    Reader next = *at;
    for (int i = 0; i < now.features; i++)
        given += (int32_t)next_$encoding(&next) * (now.x[i] - now.zero_point);
    for (int i = 0; i < now.units && now.h; i++)
        kept += (int32_t)next_$encoding(&next) * now.h[i];
    for (int i = 0; i < now.units && !now.h; i++)
        next_$encoding(&next);
    *at = next;
    steps[0] = gate_steps((int64_t)given * weights->multiplier[2 * row], weights->shift[2 * row]);
    steps[1] = gate_steps((int64_t)kept * weights->multiplier[2 * row + 1], weights->shift[2 * row + 1]);
}
