/* Next weight; all are stored. */
static inline int next_packed_$bits(Reader *at) {
    return next_value_$bits(at);
}
