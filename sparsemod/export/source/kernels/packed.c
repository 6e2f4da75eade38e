/* Whether the filter has one more weight; all are stored. */
static inline int find_packed(Reader *at) {
    return at->place < at->end;
}
