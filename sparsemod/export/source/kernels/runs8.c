/* Moves to the next weight that is not zero; whether the filter has one more. An entry of 8 bits is the number of
 * zeros before the next value, or 255 zeros with no value behind. */
static inline int find_runs8(Reader *at) {
    while (!at->found && at->place < at->end) {
        const int zeros = unpack(at->index, at->entry++, 8);
        at->place += (uint32_t)zeros;
        at->found = zeros < 255;
    }
    return at->place < at->end;
}
