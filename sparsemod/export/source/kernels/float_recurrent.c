static float logistic(float x) {
    return 1 / (1 + expf(-x));
}

/* Where the state after a step goes, which is followed by so many others: into the output, and where that has only room
 * for the last one or is rounded, into own memory, in turns. */
static float *state(const Target *y, float *own, int units, int step, int left, int last) {
    if (left % 2 && (last || y->scale != 0))
        return own;
    return y->scale != 0 ? own + units : (float *)y->data + (last ? 0 : step * units);
}

/* Writes a state to an output of eight bits. */
static void round_state(const Target *y, const float *h, int units, int step, int last) {
    for (int unit = 0; y->scale != 0 && unit < units; unit++)
        put(y, (last ? 0 : step * units) + unit, h[unit]);
}
