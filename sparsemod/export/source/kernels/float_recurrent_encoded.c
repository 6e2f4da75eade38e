/* The next row of weights: its sums with input and state, which is 0 where that is zero. */
static void float_sums_${index}_$bits(const Source *x, int step, const float *h, int units, const FloatWeights *weights,
                                      int row, Reader *at, float *sums) {
    sums[0] = sums[1] = 0;
    at->from = at->end, at->end += (uint32_t)(x->width + units);
    while (find_$index(at)) {
        const int place = (int)(at->place - at->from);
        const float weight = (float)take_$bits(at);
        if (place < x->width)
            sums[0] += weight * get(x, step * x->width + place);
        else if (h)
            sums[1] += weight * h[place - x->width];
    }
    for (int i = 0; i < 2 && weights->scale; i++)
        sums[i] *= weights->scale[2 * row + i];
}
