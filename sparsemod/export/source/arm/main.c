/* Runs the network on the first RUNS recorded inputs on an emulated board and prints, each on a line of its own,
 *
 *     500 ticks                  of SysTick that all inferences took together
 *     124 bytes of stack         that net_invoke and what it calls used
 *     8 of 8 vectors identical   or within the tolerance
 *
 * It prints through semihosting: the processor stops and the emulator does the work.
 */
#include "net.h"
#include "vectors.h"

#define SYSTICK ((volatile uint32_t *)0xe000e010) /* control, reload, current */
#define PERIOD 0x1000000                          /* it counts down with 24 bits */
#define PAINTED 8192                              /* bytes below the stack pointer, to see how many are used */
#define PAINT 0xa5

static volatile uint32_t periods;

static int semihosting(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void print(const char *text) {
    semihosting(0x04, text);
}

static void print_number(uint64_t number) {
    char digits[24], *first = digits + sizeof digits;
    *--first = 0;
    do
        *--first = (char)('0' + number % 10);
    while (number /= 10);
    print(first);
}

static void leave(int failed) {
    semihosting(0x18, (const void *)(failed ? 0x20023 : 0x20026)); /* a run-time error, or the program's own end */
    for (;;) {
    }
}

void fault(void) {
    print("the processor reports a fault\n");
    leave(1);
}

void tick(void) {
    periods++;
}

static uint64_t ticks(void) {
    uint32_t before, current;
    do {
        before = periods;
        current = SYSTICK[2];
    } while (before != periods);
    return (uint64_t)before * PERIOD + (PERIOD - current) % PERIOD; /* a period ends at 0 */
}

/* Bytes of stack that one inference uses: paints what lies below the stack pointer and sees how much paint is left. */
static int stack_used(void) {
    volatile uint8_t *bottom;
    __asm__ volatile("mov %0, sp" : "=r"(bottom));
    bottom -= PAINTED;
    for (int i = 0; i < PAINTED; i++)
        bottom[i] = PAINT;
#ifdef FRONTEND_SAMPLES
    give(0);
#endif
    net_invoke();
    int left = 0;
    while (left < PAINTED && bottom[left] == PAINT)
        left++;
    return PAINTED - left;
}

static int same_output(int vector) {
    for (long i = 0; i < NET_OUTPUT_SIZE; i++)
        if (!SAME(net_output()[i], outputs[vector][i]))
            return 0;
    return 1;
}

int main(void) {
    const int stack = stack_used();
    uint64_t spent = 0;
    int identical = 0;
    SYSTICK[1] = PERIOD - 1;
    SYSTICK[2] = 0;
    SYSTICK[0] = 7; /* the processor's clock, with interrupts */
    for (int vector = 0; vector < RUNS; vector++) {
#ifdef FRONTEND_SAMPLES
        const uint64_t start = ticks(); /* a front end counts */
        give(vector);
#else
        give(vector);
        const uint64_t start = ticks();
#endif
        net_invoke();
        spent += ticks() - start;
        identical += same_output(vector);
    }
    print_number(spent);
    print(" ticks\n");
    print_number(stack);
    print(" bytes of stack\n");
    print_number(identical);
    print(" of ");
    print_number(RUNS);
    print(" vectors " AGREEING "\n");
    leave(0);
    return 0;
}
