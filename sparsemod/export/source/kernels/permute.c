/* Axes in another order: the size of each axis of the output, and how far apart its elements lie in the input. */
KERNEL void permute(const Input *x, const Output *y, const int *size, const int *stride) {
    int8_t *out = y->data;
    for (int a = 0; a < size[0]; a++)
        for (int b = 0; b < size[1]; b++)
            for (int c = 0; c < size[2]; c++)
                for (int d = 0; d < size[3]; d++)
                    *out++ = x->data[a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3]];
}
