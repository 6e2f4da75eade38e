/* Real numbers handed on within their bounds, block by block, as far apart as those of the output. */
FLOAT_KERNEL void float_copy(const Source *x, const Target *y, int block, int stride) {
    const int size = x->channels * x->height * x->width;
    for (int in = 0, out = 0; in < size; in += block, out += stride)
        for (int i = 0; i < block; i++)
            put(y, out + i, get(x, in + i));
}
