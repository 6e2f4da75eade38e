/* Next weight; those are stored whose bit is set. */
static inline int next_bitmap_$bits(Reader *at) {
    return unpack(at->index, at->entry++, 1) ? next_value_$bits(at) : 0;
}
