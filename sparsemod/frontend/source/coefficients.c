static void finish_filter(Frontend *f, int8_t *features, int filter, int32_t logarithm) {
    (void)features;
    f->logarithms[filter] = (int16_t)(logarithm < -16384 ? -16384 : logarithm > 16384 ? 16384 : logarithm);
}

/* The lifted cosine transform of the logarithms. */
static void finish_filters(Frontend *f, int8_t *features) {
    for (int row = 0; row < FRONTEND_WIDTH; row++) {
        int32_t sum = 0;
        for (int filter = 0; filter < FILTERS; filter++)
            sum += (int32_t)f->logarithms[filter] * frontend_cosines[row * FILTERS + filter];
        features[row] = within(shifted((int64_t)sum * frontend_gains[row], 30));
    }
}
