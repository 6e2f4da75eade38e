
void net_start(void) {
    for (long i = $first; i < NET_ARENA_SIZE; i++)
        arena[i] = 0;
}
