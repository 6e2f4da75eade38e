/* Next weight; an entry of $entry bits is the number of zeros before the next value, or $most zeros with no value behind. */
static inline int next_runs${entry}_$bits(Reader *at) {
    while (at->zeros == 0) {
        if (at->found) {
            at->found = 0;
            return next_value_$bits(at);
        }
        at->zeros = unpack(at->index, at->entry++, $entry);
        at->found = at->zeros < $most;
    }
    at->zeros--;
    return 0;
}
