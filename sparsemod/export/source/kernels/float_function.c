/* A function of each element, in real numbers. */
FLOAT_KERNEL void float_function(const Source *x, const Target *y, float (*of)(float, const float *),
                                 const float *with) {
    for (int i = 0; i < y->channels * y->height * y->width; i++)
        put(y, i, of(get(x, i), with));
}
