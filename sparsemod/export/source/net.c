/* $macs multiply-accumulates, $const_bytes bytes of constants, $arena_bytes bytes of arena. See net.h for its use.
 *
 * Tensors are stored channel by channel, row by row. int may have 16 bits, as long as no tensor has $most elements.
 */
#include "net.h"
$include
const float net_input_scale = $input_scale, net_output_scale = $output_scale;
const int8_t net_input_zero_point = $input_zero_point, net_output_zero_point = $output_zero_point;

/* --- weights and constants ------------------------------------------------------------------------------------- */

$constants
/* --- kernels --------------------------------------------------------------------------------------------------- */

$kernels
/* --- network --------------------------------------------------------------------------------------------------- */

$arena
$input_type *net_input(void) {
    return $input;
}

const $output_type *net_output(void) {
    return $output;
}

void net_invoke(void) {
$operators}
$calls