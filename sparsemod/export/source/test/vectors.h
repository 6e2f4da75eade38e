/* Recorded inputs, and what the network that was scored gives for them. */
#define VECTORS $vectors

static const NET_FLASH $type inputs[VECTORS][$count] = {
$inputs};

static const NET_FLASH $output_type outputs[VECTORS][NET_OUTPUT_SIZE] = {
$outputs};

#define SHOWN "$format" /* as which an output is printed */

$agreement$give