/* Next weight; an entry of 4 bits is the number of zeros before the next value, or 15 zeros with no value behind. */
static inline int next_runs4_$bits(Reader *at) {
    while (at->zeros == 0) {
        if (at->found) {
            at->found = 0;
            return next_value_$bits(at);
        }
        at->zeros = unpack(at->index, at->entry++, 4);
        at->found = at->zeros < 15;
    }
    at->zeros--;
    return 0;
}
