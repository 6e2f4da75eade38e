static void give(int vector) {
    int16_t portion[32];
    net_start();
    for (long i = 0; i < FRONTEND_SAMPLES;) {
        int count = 0;
        for (; count < 32 && i < FRONTEND_SAMPLES; i++)
            portion[count++] = inputs[vector][i];
        net_push(portion, count);
    }
}
