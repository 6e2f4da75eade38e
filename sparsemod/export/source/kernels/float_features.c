/* The features of a front end become real numbers where they lie, the last one first. */
FLOAT_KERNEL void float_features(int8_t *features, int size, float scale) {
    const int8_t *in = features + size;
    float *out = (float *)(void *)features + size;
    while (in > features)
        *--out = scale * *--in;
}
