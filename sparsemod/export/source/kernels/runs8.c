/* Next weight; an entry of 8 bits is the number of zeros before the next value, or 255 zeros with no value behind. */
static inline int next_runs8_$bits(Reader *at) {
    while (at->zeros == 0) {
        if (at->found) {
            at->found = 0;
            return next_value_$bits(at);
        }
        at->zeros = unpack(at->index, at->entry++, 8);
        at->found = at->zeros < 255;
    }
    at->zeros--;
    return 0;
}
