/* Runs the network on the first RUNS recorded inputs on an emulated AVR and prints, each on a line of its own,
 *
 *     5000 cycles                that all inferences took together
 *     124 bytes of stack         that net_invoke and what it calls used
 *     8 of 8 vectors identical   or within the tolerance
 *
 * It prints through the first serial port, and sleeps without interrupts in the end, on which the emulator stops.
 */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

#include "net.h"
#include "vectors.h"

#define PAINTED 1024 /* bytes below the stack pointer, to see how many are used */
#define PAINT 0xa5

static volatile uint32_t periods; /* of the timer, which counts 16 bits */

ISR(TIMER1_OVF_vect) {
    periods++;
}

static uint32_t cycles(void) {
    uint32_t before;
    uint16_t current;
    do {
        before = periods;
        current = TCNT1;
    } while (before != periods);
    return (before << 16) + current;
}

static void print_character(char character) {
    while (!(UCSR0A & (1 << UDRE0))) {
    }
    UDR0 = character;
}

static void print(const char *text) {
    while (*text)
        print_character(*text++);
}

static void print_number(uint32_t number) {
    if (number > 9)
        print_number(number / 10);
    print_character((char)('0' + (char)(number % 10)));
}

/* Bytes of stack that one inference uses: paints what lies below the stack pointer and sees how much paint is left. */
static int stack_used(void) {
    volatile uint8_t *bottom = (volatile uint8_t *)SP - PAINTED;
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
    UCSR0B = 1 << TXEN0;
    const int stack = stack_used();
    uint32_t spent = 0;
    int identical = 0;
    TIMSK1 = 1 << TOIE1;
    TCCR1B = 1 << CS10; /* the processor's clock */
    sei();
    for (int vector = 0; vector < RUNS; vector++) {
#ifdef FRONTEND_SAMPLES
        const uint32_t start = cycles(); /* a front end counts */
        give(vector);
#else
        give(vector);
        const uint32_t start = cycles();
#endif
        net_invoke();
        spent += cycles() - start;
        identical += same_output(vector);
    }
    print_number(spent);
    print(" cycles\n");
    print_number((uint32_t)stack);
    print(" bytes of stack\n");
    print_number((uint32_t)identical);
    print(" of ");
    print_number(RUNS);
    print(" vectors " AGREEING "\n");
    cli();
    sleep_mode();
    return 0;
}
