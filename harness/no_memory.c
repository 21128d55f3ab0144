#include "no_memory.h"

#include <jansson.h>
#include <stdlib.h>

static bool noted;

static void *allocate(size_t size) {
    void *p = malloc(size);
    if (p == NULL)
        noted = true;
    return p;
}

void assay_no_memory_watch(void) { json_set_alloc_funcs(allocate, free); }

void assay_no_memory_note(void) { noted = true; }

bool assay_no_memory_noted(void) { return noted; }

void assay_no_memory_forget(void) { noted = false; }
