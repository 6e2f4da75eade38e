/* Moves to the next weight that is not zero; whether the filter has one more. Those are stored whose bit is set. */
static inline int find_bitmap(Reader *at) {
    while (at->place < at->end && !unpack(at->index, at->place, 1))
        at->place++;
    return at->place < at->end;
}
