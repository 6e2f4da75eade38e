static void give(int vector) {
    for (long i = 0; i < NET_INPUT_SIZE; i++)
        net_input()[i] = inputs[vector][i];
}
