/* A neural network in $numbers, made by sparsemod.
 *
 *     $input_call write NET_INPUT_SIZE values,
 *     net_invoke();                      run the network once,
 *     $output_call read NET_OUTPUT_SIZE values.
 *
 * Input and output lie in the arena that net_invoke() works in: read the output before the next input is written, and
 * write the whole input each time.
 *
$meaning */
#ifndef NET_H
#define NET_H

#include <stdint.h>
$include
#define NET_INPUT_SIZE $input_size /* $input_shape */
#define NET_OUTPUT_SIZE $output_size /* $output_shape */
#define NET_ARENA_SIZE $arena_bytes /* bytes of RAM */
#define NET_CONST_SIZE $const_bytes /* bytes of flash for weights and constants */

/* Where constants lie. An AVR reads its flash by other instructions than its RAM, and __flash says so: not in strict
 * C99, where all constants are copied to RAM, but in gnu99 and newer, as Arduino and PlatformIO compile. */
#if defined(__FLASH) && !defined(__STRICT_ANSI__)
#define NET_FLASH __flash
#else
#define NET_FLASH
#endif

#ifdef __cplusplus
extern "C" {
#endif

extern const float net_input_scale, net_output_scale;
extern const int8_t net_input_zero_point, net_output_zero_point;

$input_type *net_input(void);
const $output_type *net_output(void);
void net_invoke(void);
$calls
#ifdef __cplusplus
}
#endif

#endif
