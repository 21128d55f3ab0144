#include "race.h"

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define WITH_TSAN 1
#endif

#ifdef WITH_TSAN
#include <stdatomic.h>

/* The names are ThreadSanitizer's: it calls the first for each report and the second at start. Of
 * OpenMP's and OpenBLAS's own code it knows no locks, so what happens inside those is left out. */
void __tsan_on_report(void *report);
const char *__tsan_default_options(void);

static atomic_uint reports;

void __tsan_on_report(void *report) {
    (void)report;
    atomic_fetch_add(&reports, 1);
}

const char *__tsan_default_options(void) { return "ignore_noninstrumented_modules=1"; }

unsigned assay_races_seen(void) { return atomic_load(&reports); }
#else
unsigned assay_races_seen(void) { return 0; }
#endif
