/* Fully connected layer of encoded weights. */
KERNEL void linear_${index}_$bits(const Input *x, const Output *y, const Weights *weights) {
    Reader at = {.values = weights->values, .index = weights->index};
    for (int o = 0; o < y->channels; o++) {
        int32_t sum = 0;
        at.from = at.end, at.end += (uint32_t)x->channels;
        while (find_$index(&at)) {
            const int value = x->data[at.place - at.from] - x->zero_point;
            sum += take_$bits(&at) * value;
        }
        y->data[o] = output(sum, weights, o, y);
    }
}
