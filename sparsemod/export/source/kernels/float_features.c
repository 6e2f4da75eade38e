/* The features of a front end become real numbers where they lie, the last one first. */
KERNEL void float_features(int8_t *features, int size, float scale) {
    for (int i = size - 1; i >= 0; i--)
        ((float *)(void *)features)[i] = scale * features[i];
}
