
/* One step at a time: begin a sequence, then for each of its steps write the input and call net_invoke, which goes on
 * where it ended before. What it keeps for that lies in the arena, too. After NET_STEPS steps the output is that of
 * the sequence as the network has learned it; after any other number it is that of the steps so far. Work and time
 * that were predicted are those of one step. */
#define NET_STEPS $steps
void net_start(void);
