/* Memory that ran out where no caller is told: inside the JSON library, whose objects then lack
 * members, and in tables. It is noted here, and what would have been incomplete is an error. */
#ifndef ASSAY_HARNESS_NO_MEMORY_H
#define ASSAY_HARNESS_NO_MEMORY_H

#include <stdbool.h>

/* From here on the JSON library's allocations are watched. */
void assay_no_memory_watch(void);

void assay_no_memory_note(void);
bool assay_no_memory_noted(void); /* since the program began, or the last forget */
void assay_no_memory_forget(void);

#endif
