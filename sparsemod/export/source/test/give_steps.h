/* All steps but the last are run; the last one is left to net_invoke. */
static void give(int vector) {
    net_start();
    for (long step = 0; step < NET_STEPS; step++) {
        if (step)
            net_invoke();
        for (long i = 0; i < NET_INPUT_SIZE; i++)
            net_input()[i] = inputs[vector][step * NET_INPUT_SIZE + i];
    }
}
