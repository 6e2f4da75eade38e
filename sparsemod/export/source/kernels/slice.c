/* A part of each block: so many elements from some element on. */
KERNEL void slice(const Input *x, const Output *y, int block, int start, int count) {
    const int8_t *in = x->data + start;
    const int8_t *const end = y->data + y->channels * y->height * y->width;
    for (int8_t *out = y->data; out < end; in += block)
        for (int i = 0; i < count; i++)
            *out++ = in[i];
}
