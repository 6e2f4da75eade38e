/* Moves to the next weight that is not zero; whether the filter has one more. An entry of $entry bits is the number of
 * zeros before the next value, or $most zeros with no value behind. */
static inline int find_runs$entry(Reader *at) {
    while (!at->found && at->place < at->end) {
        const int zeros = unpack(at->index, at->entry++, $entry);
        at->place += (uint32_t)zeros;
        at->found = zeros < $most;
    }
    return at->place < at->end;
}
