/* Element i of what an operator reads, as a real number. */
static inline float get(const Source *x, int i) {
    if (x->scale == 0)
        return ((const float *)x->data)[i];
    return x->scale * (float)(((const int8_t *)x->data)[i] - x->zero_point);
}

/* Writes element i, within its bounds; to eight bits by zero_point + floor(value / scale + 1/2). */
static inline void put(const Target *y, int i, float value) {
    value = value < y->low ? y->low : value > y->high ? y->high : value;
    if (y->scale == 0) {
        ((float *)y->data)[i] = value;
        return;
    }
    value = floorf(value / y->scale + 0.5f) + (float)y->zero_point;
    ((int8_t *)y->data)[i] = (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
}
