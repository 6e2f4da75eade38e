/* The next row of weights: its sums with input and state, in steps of a gate. */
static void gate_${index}_$bits(const Step *now, const Weights *weights, int row, int32_t given, int32_t kept,
                                Reader *at, int32_t *steps) {
    at->from = at->end, at->end += (uint32_t)(now->features + now->units);
    while (find_$index(at)) {
        const int place = (int)(at->place - at->from), weight = take_$bits(at);
        if (place < now->features)
            given += weight * (now->x[place] - now->zero_point);
        else if (now->h)
            kept += weight * now->h[place - now->features];
    }
    steps[0] = gate_steps((int64_t)given * weights->multiplier[2 * row], weights->shift[2 * row]);
    steps[1] = gate_steps((int64_t)kept * weights->multiplier[2 * row + 1], weights->shift[2 * row + 1]);
}
