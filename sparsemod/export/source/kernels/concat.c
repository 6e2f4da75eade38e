/* One part of a concatenation in the steps of all of it: block by block, as far apart as those of the output. */
KERNEL void concat(const Input *x, const Output *y, int block, int stride, int32_t multiplier, int8_t shift) {
    const int8_t *in = x->data, *const end = in + x->channels * x->height * x->width;
    for (int8_t *out = y->data; in < end; out += stride)
        for (int i = 0; i < block; i++)
            out[i] = requantize((int64_t)multiplier * (*in++ - x->zero_point), shift, y);
}
