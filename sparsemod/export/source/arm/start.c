/* How a Cortex-M starts: vector table, initialized data, cleared data, main. */
#include <stddef.h>
#include <stdint.h>

extern uint32_t stack_top, data_start, data_end, data_source, bss_start, bss_end; /* of link.ld */

int main(void);
void reset(void);

/* A program may bring its own handlers. */
__attribute__((weak)) void fault(void) {
    for (;;) {
    }
}

__attribute__((weak)) void tick(void) {
}

typedef void (*Handler)(void);

__attribute__((section(".vectors"), used)) static const Handler vectors[16] = {
    [0] = (Handler)&stack_top, [1] = reset, [2 ... 14] = fault, [15] = tick,
};

void reset(void) {
    for (uint32_t *to = &data_start, *from = &data_source; to < &data_end;)
        *to++ = *from++;
    for (uint32_t *to = &bss_start; to < &bss_end;)
        *to++ = 0;
    main();
    for (;;) {
    }
}

#ifdef MATH
/* A mathematical library reports through it what no network asks for. */
__attribute__((weak)) int *__errno(void) {
    static int number;
    return &number;
}
#endif

/* A compiler may call these for a structure or a loop, without a C library too. */
void *memcpy(void *to, const void *from, size_t size) {
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    if ((uintptr_t)to <= (uintptr_t)from)
        return memcpy(to, from, size);
    while (size-- > 0)
        ((uint8_t *)to)[size] = ((const uint8_t *)from)[size];
    return to;
}

void *memset(void *to, int value, size_t size) {
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)value;
    return to;
}
