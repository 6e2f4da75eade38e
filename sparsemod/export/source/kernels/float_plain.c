/* Element i of what an operator reads. */
static inline float get(const Source *x, int i) {
    return ((const float *)x->data)[i];
}

/* Writes element i, within its bounds. */
static inline void put(const Target *y, int i, float value) {
    ((float *)y->data)[i] = value < y->low ? y->low : value > y->high ? y->high : value;
}
