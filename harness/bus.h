/* SIGBUS: what reading a mapped file raises that was truncated since, or that its disk can't give.
 */
#ifndef ASSAY_HARNESS_BUS_H
#define ASSAY_HARNESS_BUS_H

/* From here on a SIGBUS in an open model ends the program with a line that names the file and the
 * offset, and exit code 2. Any other kills as before. Children of isolate.h die of all of them:
 * their parent asks assay_gguf_unchanged why. */
void assay_bus_catch(void);

#endif
